"""Smells of boxes whose numbers have another meaning than in their format.

G: number of boxes in a set, before any check
"""

from collections.abc import Iterable, Iterator

import numpy as np

from app.engine.data.smells.scent import FEW, MANY, MIN_OBJECTS, SOME, Flags, Floats, Scent

_FEWEST = 3
"""Fewer boxes that do not fit may be single mistakes, even if they are 10 % of a small set."""

_BEYOND = "reach beyond their images"
_INVERTED = "end before they begin"


def xyxy(scent: Scent) -> str | None:
    """Boxes are written as corners instead of corner and size, and so reach beyond the image."""
    as_corners = scent.boxes.copy()
    as_corners[:, 2:] -= scent.boxes[:, :2]
    words = (
        "the numbers are taken as x0 y0 x1 y1; COCO's bbox is x y width height: correct the file"
    )
    return _fit_otherwise(scent, ~scent.fits(scent.boxes), _BEYOND, [(as_corners, words)])


def xywh(scent: Scent) -> str | None:
    """Boxes are written as corner and size instead of corners: some end before they begin."""
    as_sizes = scent.boxes.copy()
    as_sizes[:, 2:] += scent.boxes[:, :2] - 1
    flipped = [1, 0, 3, 2]
    readings = [
        (boxes, f"the numbers are taken as {words}; write xmin ymin xmax ymax")
        for boxes, words in (
            (as_sizes, "x y width height"),
            (_shifted(as_sizes, -0.5), "x y of the centre, and width height"),
            (as_sizes[:, flipped], "y x height width"),
            (_shifted(as_sizes, -0.5)[:, flipped], "y x of the centre, and height width"),
        )
    ]
    inverted = np.asarray((scent.boxes[:, 2:] <= scent.boxes[:, :2]).any(axis=1))
    return _fit_otherwise(scent, inverted, _INVERTED, readings)


def xxyy(scent: Scent) -> str | None:
    """Boxes are written as xmin xmax ymin ymax instead of xmin ymin xmax ymax."""
    words = "the numbers are taken as xmin xmax ymin ymax; write xmin ymin xmax ymax"
    inverted = np.asarray((scent.boxes[:, 2:] < scent.boxes[:, :2]).any(axis=1))
    return _fit_otherwise(scent, inverted, _INVERTED, [(scent.boxes[:, [0, 2, 1, 3]], words)])


def swapped_axes(scent: Scent) -> str | None:
    """y is written before x."""
    return _fit_otherwise(
        scent,
        ~scent.fits(scent.boxes),
        _BEYOND,
        [(scent.boxes[:, [1, 0, 3, 2]], "x and y change places; write x before y")],
        least=SOME / 2,
        fewest=_FEWEST,
    )


def centred(scent: Scent) -> str | None:
    """Boxes have their centre instead of the upper left corner, or the reverse."""
    readings = [
        (
            _shifted(scent.boxes, share),
            f"x and y are taken as those of the {taken}, where the format has the {due}; correct"
            " the files",
        )
        for share, taken, due in ((-0.5, "centre", "corner"), (0.5, "corner", "centre"))
    ]
    misfit = ~scent.fits(scent.boxes)
    return _fit_otherwise(scent, misfit, _BEYOND, readings, least=SOME / 4, fewest=_FEWEST + 1)


def upside_down(scent: Scent) -> str | None:
    """y is counted from the bottom of the image."""
    x_inverted, y_inverted = (scent.boxes[:, 2:] < scent.boxes[:, :2]).T
    if y_inverted.mean() < 1 - FEW or x_inverted.mean() > FEW:
        return None
    return (
        f"{y_inverted.sum()} of {len(scent.boxes)} boxes end above where they begin, and none to"
        " the left of it: their corners are put in order, which is wrong if y is counted from the"
        " bottom of the image; then write height - y for y"
    )


def normalised(scent: Scent) -> str | None:
    """Boxes are written as shares of width and height instead of pixels."""
    has_area = (scent.boxes[:, 2:] != scent.boxes[:, :2]).all(axis=1)
    is_small = (np.abs(scent.boxes) <= 2).all(axis=1) & (scent.sizes > 16).all(axis=1)
    share = (has_area & is_small).mean()
    if share < 0.5:
        return _percent(scent)
    return (
        f"{share:.0%} of {len(scent.boxes)} boxes have no number above 1; boxes are read in pixels:"
        " multiply them by the image's width and height, or give YOLO labels as .txt files"
    )


def _percent(scent: Scent) -> str | None:
    """Boxes are written in percent of width and height."""
    largest = np.abs(scent.boxes).max(initial=0.0)
    enough = len(scent.boxes) >= 10 * MIN_OBJECTS and (scent.sizes > 200).all()
    if not enough or not 90 < largest <= 101:
        return None
    return (
        f"none of {len(scent.boxes)} boxes has a number above 100, although their images are larger"
        " than 200 pixels: they seem to be in percent; boxes are read in pixels: multiply them by"
        " a hundredth of the image's width and height"
    )


def outside(scent: Scent) -> str | None:
    """Many boxes reach beyond their images, and no other smell tells why."""
    low = np.minimum(scent.boxes[:, :2], scent.boxes[:, 2:])
    high = np.maximum(scent.boxes[:, :2], scent.boxes[:, 2:])
    beyond = ((low < -1) | (high > scent.sizes + 1)).any(axis=1)
    if beyond.mean() < MANY:
        return None
    told = f"{beyond.sum()} of {len(scent.boxes)} boxes reach beyond their images"
    for boxes, words in _layouts(scent):
        if scent.fits(boxes).mean() >= 1 - FEW:
            return f"{told}, and all fit if the numbers are taken as {words}; correct the files"
    times = float(np.quantile((high / scent.sizes).max(axis=1), 1 - FEW))
    return (
        f"{told}, and would fit in images {times:.2g} times as large: they were drawn in"
        " such copies, or written in another order; give those images, or correct the numbers"
    )


def _layouts(scent: Scent) -> Iterator[tuple[Floats, str]]:
    """Yield the boxes if the numbers in the files have another meaning, and that meaning."""
    first, second = _as_written(scent)
    yield np.hstack((first, second)), "xmin ymin xmax ymax"
    yield np.hstack((first, second))[:, [1, 0, 3, 2]], "ymin xmin ymax xmax"
    yield np.hstack((first, second))[:, [0, 2, 1, 3]], "xmin xmax ymin ymax"
    yield np.hstack((first, first + second)), "x y width height"
    yield np.hstack((first, first + second))[:, [1, 0, 3, 2]], "y x height width"
    yield np.hstack((first - second / 2, first + second / 2)), "x y of the centre, width height"
    if ((scent.boxes[:, 2:].max(axis=0) > 950) & (scent.boxes.max() <= 1001)).all():
        thousandths = np.tile(scent.sizes / 1000, 2)
        words = "thousandths of the image's width and height, as"
        yield np.hstack((first, second)) * thousandths, f"{words} xmin ymin xmax ymax"
        swapped = np.hstack((first, second))[:, [1, 0, 3, 2]]
        yield swapped * thousandths, f"{words} ymin xmin ymax xmax"
    from_bottom = np.column_stack((first[:, 0], scent.sizes[:, 1] - first[:, 1]))
    yield np.hstack((from_bottom, from_bottom + second)), "x y width height, y from the bottom"


def _as_written(scent: Scent) -> tuple[Floats, Floats]:
    """The first two and the last two numbers of each box, as its file has them: both (G, 2)."""
    first, second = scent.boxes[:, :2], scent.boxes[:, 2:]
    if scent.is_xywh:
        return first, second - first
    if scent.is_centred:
        return (first + second) / 2, second - first
    return first, second


def corner(scent: Scent) -> str | None:
    """Boxes were drawn in smaller copies of the images: all lie near the upper left corner."""
    fitting = scent.fits(scent.boxes)
    if fitting.sum() < 10 * MIN_OBJECTS:
        return None
    reach = (scent.boxes[fitting, 2:] / scent.sizes[fitting]).max(axis=0)
    if not (reach < 0.7).all():
        return None
    return (
        f"none of {fitting.sum()} boxes reaches beyond {reach.max():.0%} of its image's width or"
        " height: they seem to be drawn in smaller copies of the images; give those, or scale"
        " the numbers"
    )


def _fit_otherwise(
    scent: Scent,
    wrong: Flags,
    what: str,
    readings: Iterable[tuple[Floats, str]],
    *,
    least: float = SOME,
    fewest: int = 1,
) -> str | None:
    """The sentence if boxes are wrong and nearly all fit if their numbers mean something else.

    wrong     (G,) flags of the wrong boxes; at least `fewest` and a share of `least` are needed
    what      verb phrase about the wrong boxes, for the sentence
    readings  boxes with another meaning of the numbers, and words that complete "all fit if"
    """
    if wrong.sum() < fewest or wrong.mean() < least:
        return None
    for boxes, words in readings:
        if scent.fits(boxes).mean() >= 1 - FEW:
            return f"{wrong.mean():.0%} of {len(wrong)} boxes {what}, and all fit if {words}"
    return None


def _shifted(boxes: Floats, share: float) -> Floats:
    """Boxes moved to the right and down by a share of their own size."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + np.tile(share * size, 2)
