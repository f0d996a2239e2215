"""Smells: signs that a data set does not say what its user means, though every file can be read.

Each has a statistic, a threshold and a sentence with numbers and a remedy. Those that stop refuse
the training unless the user accepts them by name; the others warn.
"""

import hashlib
import io
import logging
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.config.smells import SmellName
from app.engine.data.deep import Depth
from app.engine.data.depth_of_set import measured_depth
from app.engine.data.formats import Reading
from app.engine.data.formats._coco_objects import SHIFTED_IDS
from app.engine.data.formats._records import CLIPPED
from app.engine.data.formats.voc import OTHER_IMAGE
from app.engine.data.image import read_image
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError, ImageError, printable
from app.engine.structures.class_names import UNKNOWN_CLASS
from app.engine.structures.sample import ImageRecord

logger = logging.getLogger(__name__)

MIN_OBJECTS = 6
"""With fewer objects, shares of them say nothing."""

MANY = 1 / 3
FEW = 0.02
SOME = 0.2

_FEWEST = 3
"""With fewer boxes that do not fit, a share of 10 % may be one careless stroke."""

_IMAGES_SEEN = 32
_BOXES_SEEN = 8  # of each of them
_MIN_IMAGES = 4
_BLANK_RANGE = 8  # grey levels between the darkest and the brightest half percent of the pixels
_HASHED_BYTES = 1 << 16
_THREADS = 16  # they hide the latency of network file systems

_BEYOND = "reach beyond their images"
_INVERTED = "end before they begin"

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scent:
    """A set of images as the smells look at it.

    is_xywh  whether the format writes boxes as corner and size
    """

    records: Sequence[ImageRecord]
    reading: Reading
    is_xywh: bool

    @cached_property
    def boxes(self) -> Floats:
        """(G, 4) x0 y0 x1 y1 before any check."""
        return np.array(self.reading.facts.boxes, dtype=np.float64).reshape(-1, 4)

    @cached_property
    def sizes(self) -> Floats:
        """(G, 2) width and height of each object's image."""
        sizes = np.array(self.reading.facts.sizes, dtype=np.float64).reshape(-1, 2)
        return sizes[:, ::-1]

    @property
    def problems(self) -> Problems:
        """What was wrong in it."""
        return self.reading.problems

    def fits(self, boxes: Floats) -> Flags:
        """(G,) which boxes have an area and end, up to a pixel, inside their images."""
        found = (boxes[:, :2] >= -1) & (boxes[:, 2:] <= self.sizes + 1)
        return np.asarray((found & (boxes[:, 2:] > boxes[:, :2])).all(axis=1))


@dataclass(frozen=True)
class Smell:
    """A sign that something is wrong.

    statistic  the sentence that says so, with numbers and a remedy; None where there is no sign
    stops      whether a training is refused
    concerns   whether the statistic says something about a set
    """

    statistic: Callable[[Scent], str | None]
    stops: bool
    concerns: Callable[[Scent], bool] = lambda scent: True

    def sniff(self, scent: Scent) -> str | None:
        """The sentence, if there is a sign in the set."""
        return self.statistic(scent) if self.concerns(scent) else None


def _of_boxes(scent: Scent) -> bool:
    """Whether there are objects enough for shares of them to mean something."""
    return len(scent.boxes) >= MIN_OBJECTS


def _of_sizes(scent: Scent) -> bool:
    return scent.is_xywh and _of_boxes(scent)


def _of_corners(scent: Scent) -> bool:
    return not scent.is_xywh and _of_boxes(scent)


def _fit_otherwise(
    scent: Scent,
    wrong: Flags,
    what: str,
    readings: Iterable[tuple[Floats, str]],
    *,
    least: float = SOME,
    fewest: int = 1,
) -> str | None:
    """The sentence where boxes are wrong and nearly all fit if their numbers mean something else.

    wrong     (G,) which boxes are; at least `fewest` and a share of `least` must be
    what      they do
    readings  boxes as they would be, and words that complete "all fit if"
    """
    if wrong.sum() < fewest or wrong.mean() < least:
        return None
    for boxes, words in readings:
        if scent.fits(boxes).mean() >= 1 - FEW:
            return f"{wrong.mean():.0%} of {len(wrong)} boxes {what}, and all fit if {words}"
    return None


def _xyxy(scent: Scent) -> str | None:
    """Corners where corner and size are due: the sizes are larger than the positions, and reach
    beyond the image.
    """
    as_corners = scent.boxes.copy()
    as_corners[:, 2:] -= scent.boxes[:, :2]
    words = (
        "the numbers are taken as x0 y0 x1 y1; COCO's bbox is x y width height: correct the file"
    )
    return _fit_otherwise(scent, ~scent.fits(scent.boxes), _BEYOND, [(as_corners, words)])


def _xywh(scent: Scent) -> str | None:
    """Corner and size where corners are due: the second corner lies above or left of the first."""
    as_sizes = scent.boxes.copy()
    as_sizes[:, 2:] += scent.boxes[:, :2] - 1
    readings = [
        (boxes, f"the numbers are taken as x y{words} width height; write xmin ymin xmax ymax")
        for boxes, words in ((as_sizes, ""), (_shifted(as_sizes, -0.5), " of the centre, and"))
    ]
    inverted = np.asarray((scent.boxes[:, 2:] <= scent.boxes[:, :2]).any(axis=1))
    return _fit_otherwise(scent, inverted, _INVERTED, readings)


def _xxyy(scent: Scent) -> str | None:
    """Both x before both y, where x and y of each corner are due."""
    words = "the numbers are taken as xmin xmax ymin ymax; write xmin ymin xmax ymax"
    inverted = np.asarray((scent.boxes[:, 2:] < scent.boxes[:, :2]).any(axis=1))
    return _fit_otherwise(scent, inverted, _INVERTED, [(scent.boxes[:, [0, 2, 1, 3]], words)])


def _swapped_axes(scent: Scent) -> str | None:
    return _fit_otherwise(
        scent,
        ~scent.fits(scent.boxes),
        _BEYOND,
        [(scent.boxes[:, [1, 0, 3, 2]], "x and y change places; write x before y")],
        least=SOME / 2,
        fewest=_FEWEST,
    )


def _centred(scent: Scent) -> str | None:
    """The centre of a box in place of its upper left corner, or the reverse."""
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


def _shifted(boxes: Floats, share: float) -> Floats:
    """Boxes moved to the right and down by a share of their own size."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + np.tile(share * size, 2)


def _upside_down(scent: Scent) -> str | None:
    x_inverted, y_inverted = (scent.boxes[:, 2:] < scent.boxes[:, :2]).T
    if y_inverted.mean() < 1 - FEW or x_inverted.mean() > FEW:
        return None
    return (
        f"{y_inverted.sum()} of {len(scent.boxes)} boxes end above where they begin, and none to"
        " the left of it: their corners are put in order, which is wrong if y is counted from the"
        " bottom of the image; then write height - y for y"
    )


def _normalised(scent: Scent) -> str | None:
    has_area = (scent.boxes[:, 2:] != scent.boxes[:, :2]).all(axis=1)
    is_small = (np.abs(scent.boxes) <= 2).all(axis=1) & (scent.sizes > 16).all(axis=1)
    share = (has_area & is_small).mean()
    if share < 0.5:
        return None
    return (
        f"{share:.0%} of {len(scent.boxes)} boxes have no number above 1; boxes are read in pixels:"
        " multiply them by the image's width and height, or give YOLO labels as .txt files"
    )


def _outside(scent: Scent) -> str | None:
    clipped = scent.problems.counts.get(CLIPPED, 0)
    total = len(scent.boxes)
    if clipped < MANY * total:
        return None
    return (
        f"{clipped} of {total} boxes reach beyond their images; were they drawn in larger copies of"
        " them, or written in another order?"
    )


def _corner(scent: Scent) -> str | None:
    fitting = scent.fits(scent.boxes)
    if fitting.sum() < 10 * MIN_OBJECTS:
        return None
    reach = (scent.boxes[fitting, 2:] / scent.sizes[fitting]).max(axis=0)
    if not (reach < 0.6).all():
        return None
    return (
        f"none of {fitting.sum()} boxes reaches beyond {reach.max():.0%} of its image's width or"
        " height; were they drawn in smaller copies of the images?"
    )


def _numbers_from_one(scent: Scent) -> str | None:
    numbers = scent.reading.facts.class_numbers
    count = len(scent.reading.class_names)
    if not numbers or 0 in numbers or max(numbers) < count:
        return None
    low, high = min(numbers), max(numbers)
    return (
        f"classes are numbered {low:g} to {high:g} and never 0, but {count} class_names are"
        f" numbered 0 to {count - 1}; number them from 0, or correct class_names"
    )


def _numbers_beyond(scent: Scent) -> str | None:
    numbers = scent.reading.facts.class_numbers
    count = len(scent.reading.class_names)
    beyond = sum(n for number, n in numbers.items() if number >= count)
    if not beyond or 0 not in numbers:
        return None
    return (
        f"{beyond} objects have class numbers up to {max(numbers):g}, but {count} class_names are"
        f" numbered 0 to {count - 1}; is class_names the list that the files were written with, in"
        " its order?"
    )


def _shifted_ids(scent: Scent) -> str | None:
    files = scent.problems.examples(SHIFTED_IDS)
    if not files:
        return None
    return (
        f"category_ids of {scent.problems.counts[SHIFTED_IDS]} COCO files are numbered from"
        f" another number than their categories, for example {printable(files[0])}: most objects"
        " would have the class of a neighbour; correct the ids of one of both"
    )


def _dropped(scent: Scent) -> str | None:
    dropped = scent.problems.with_effect(Effect.DROPPED)
    dropped.pop(UNKNOWN_CLASS, None)
    lost = sum(dropped.values())
    total = lost + sum(len(record) for record in scent.records)
    if total < MIN_OBJECTS or lost < MANY * total:
        return None
    worst = next(iter(dropped))
    return (
        f"{lost} of {total} objects of the asked-for classes are dropped, most of them: {worst},"
        f" for example {printable(scent.problems.examples(worst)[0])}; correct the files"
    )


def _crowds(scent: Scent) -> str | None:
    flags = [record.crowd for record in scent.records if record.crowd is not None]
    crowds, total = sum(int(flag.sum()) for flag in flags), sum(map(len, scent.records))
    if total < MIN_OBJECTS or crowds < SOME * total:
        return None
    return (
        f"{crowds} of {total} objects are marked as crowds (iscrowd 1), which are not learnt from;"
        " CVAT marks single objects so that were drawn with its brush: set their iscrowd to 0"
    )


def _doubled(scent: Scent) -> str | None:
    total = sum(map(len, scent.records))
    doubled = sum(
        len(record) - len(np.unique(np.column_stack((record.boxes, record.classes)), axis=0))
        for record in scent.records
        if len(record) > 1
    )
    if total < MIN_OBJECTS or doubled < SOME * total:
        return None
    return f"{doubled} of {total} objects repeat another one of the same image; remove them"


def _other_files(scent: Scent) -> str | None:
    count = scent.problems.counts.get(OTHER_IMAGE, 0)
    if count < max(2, SOME / 2 * len(scent.records)):
        return None
    examples = "; ".join(map(printable, scent.problems.examples(OTHER_IMAGE)))
    return (
        f"{count} of {len(scent.records)} annotation files name another image of the set in"
        f" <filename>, for example {examples}; are the lines of the index shifted?"
    )


def _blank(scent: Scent) -> str | None:
    step = max(len(scent.records) // _IMAGES_SEEN, 1)
    sample = list(islice(scent.records, 0, None, step))[:_IMAGES_SEEN]
    paths = [record.path for record in sample]
    # More than 8 bits are judged by what they hold: what a training makes of them is told by it.
    depth = measured_depth(paths)
    ranges = [found for record in sample if (found := _grey_range(record, depth)) is not None]
    blank = sum(high - low < _BLANK_RANGE for low, high in ranges)
    if len(ranges) < _MIN_IMAGES or blank < 0.9 * len(ranges):
        return None
    low, high = np.median(np.array(ranges), axis=0)
    return (
        f"{blank} of {len(ranges)} images looked at show nothing: their grey values lie between"
        f" {low:g} and {high:g} of 255; are they of more bits, or was a wrong folder listed?"
    )


def _grey_range(record: ImageRecord, depth: Depth) -> tuple[float, float] | None:
    """Darkest and brightest grey value, None if unreadable: of the whole image without the
    outermost half percent of its pixels, or of the surroundings of an object where that is more.
    Small objects, such as stars, may be all that there is in an image.
    """
    try:
        grey = read_image(record.path, "L", depth)[:, :, 0]
    except ImageError:
        return None
    parts = [(grey, 0.5), *((part, 5.0) for part in _surroundings(grey, record.boxes))]
    ranges = [np.percentile(part, [outside, 100 - outside]) for part, outside in parts]
    low, high = max(ranges, key=lambda found: float(found[1] - found[0]))
    return float(low), float(high)


def _surroundings(grey: npt.NDArray[Any], boxes: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
    """Parts of an image around some of its boxes, each twice as wide and high as its box."""
    parts = []
    for x0, y0, x1, y1 in boxes[:_BOXES_SEEN].tolist():
        right, down = max((x1 - x0) / 2, 1), max((y1 - y0) / 2, 1)
        rows = slice(max(int(y0 - down), 0), math.ceil(y1 + down))
        parts.append(grey[rows, max(int(x0 - right), 0) : math.ceil(x1 + right)])
    return parts


SMELLS = {
    SmellName.XYXY: Smell(_xyxy, stops=True, concerns=_of_sizes),
    SmellName.XYWH: Smell(_xywh, stops=True, concerns=_of_corners),
    SmellName.XXYY: Smell(_xxyy, stops=True, concerns=_of_corners),
    SmellName.NORMALISED: Smell(_normalised, stops=True, concerns=_of_boxes),
    SmellName.SWAPPED_AXES: Smell(_swapped_axes, stops=True, concerns=_of_boxes),
    SmellName.CENTRED: Smell(_centred, stops=True, concerns=_of_boxes),
    SmellName.UPSIDE_DOWN: Smell(_upside_down, stops=False, concerns=_of_boxes),
    SmellName.OUTSIDE: Smell(_outside, stops=True, concerns=_of_boxes),
    SmellName.CORNER: Smell(_corner, stops=False),
    SmellName.NUMBERS_FROM_1: Smell(_numbers_from_one, stops=True),
    SmellName.NUMBERS_BEYOND: Smell(_numbers_beyond, stops=False),
    SmellName.SHIFTED_IDS: Smell(_shifted_ids, stops=True),
    SmellName.DROPPED: Smell(_dropped, stops=True),
    SmellName.CROWDS: Smell(_crowds, stops=False),
    SmellName.DOUBLED: Smell(_doubled, stops=False),
    SmellName.OTHER_IMAGES: Smell(_other_files, stops=True),
    SmellName.BLANK: Smell(_blank, stops=True),
}
"""Smells of one set; OVERLAP, of two, is the only other one. Add a line for a new one."""


def sniff(name: str, scent: Scent, accepted: Collection[str], *, key: str) -> None:
    """Warn of a set's smells; DatasetError with a line for each that stops.

    name      which set this is, for the messages
    accepted  names of smells that the user knows to be wrong
    key       the setting that accepts them
    """
    stopping = []
    for smell_name, smell in SMELLS.items():
        sentence = smell.sniff(scent)
        if sentence is None:
            continue
        text = f"{name} set: smell {smell_name}: {sentence}"
        if smell.stops and smell_name not in accepted:
            stopping.append(f"{text} (if it is right as it is, set {key}: {smell_name})")
        else:
            logger.warning("%s%s", text, " (accepted)" if smell_name in accepted else "")
    if stopping:
        raise DatasetError("\n".join(stopping))


def sniff_overlap(
    training: Sequence[ImageRecord], validation: Sequence[ImageRecord], accepted: Collection[str]
) -> None:
    """Warn where validation images are training images, too, by path or by content."""
    if SmellName.OVERLAP in accepted:
        return
    shared = _shared(training, validation)
    if shared:
        logger.warning(
            "smell %s: %d of %d validation images are training images, too, such as %s: AP will be"
            " higher than on images the model has never seen; validate on others",
            SmellName.OVERLAP,
            len(shared),
            len(validation),
            printable(str(shared[0])),
        )


def _shared(training: Sequence[ImageRecord], validation: Sequence[ImageRecord]) -> list[Path]:
    """Validation images whose path or whose content a training image has."""
    learnt = {record.path for record in training}
    shared = [record.path for record in validation if record.path in learnt]
    others = [record.path for record in validation if record.path not in learnt]
    paths = [*others, *learnt]
    with ThreadPoolExecutor(_THREADS) as threads:
        sizes = dict(zip(paths, threads.map(_file_size, paths, chunksize=64), strict=True))
        sizes_of_others = {sizes[path] for path in others}
        alike = [path for path in learnt if sizes[path] in sizes_of_others]
        digests = set(threads.map(_digest, alike))
        found = zip(others, threads.map(_digest, others if alike else []), strict=bool(alike))
        return shared + [path for path, digest in found if digest in digests]


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _digest(path: Path) -> bytes:
    """Of size and first 64 KB; of the path where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_HASHED_BYTES)
            size = file.seek(0, io.SEEK_END)
        return hashlib.blake2b(content, key=size.to_bytes(8, "big")).digest()
    except OSError:
        return bytes(path)
