"""Map boxes to the shown picture from the picture they were drawn in: shown, stored or scaled.

A file may have the size of the annotated picture. If that is not the size of the shown picture,
boxes are moved only by `Conventions.frame` or by the mark of a known writer: the numbers alone do
not determine in which picture boxes were drawn.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from app.engine.data.formats._reading import Frame, Reading
from app.engine.data.formats._records import Box, ParsedObject
from app.engine.data.images.headers import Header
from app.engine.data.problems import Effect
from app.engine.structures.record import Segmentation
from app.engine.structures.size import Size

Points = npt.NDArray[np.float64]

TURNED = "annotated size is that of the stored picture, which EXIF turns"
SCALED = "annotated size is not the image's but in proportion to it (left out)"
EXCHANGED = "annotated size is the image's with width and height exchanged (left out)"
OTHER_SIZE = "annotated size is not the image's (left out)"
UNSAID = "photograph that EXIF turns, without a size that tells (boxes taken as drawn when shown)"
MOVED = {
    "stored": "photograph that EXIF turns (boxes turned with it)",
    "scaled": "annotated size is not the image's (boxes scaled to the image)",
    "shown": "annotated size is not the image's (boxes kept, as drawn in the image as it is shown)",
}

_KEY = "annotated_frame (app.cli: DATASETS.ANNOTATED_FRAME)"
_REMEDIES = {
    TURNED: (
        f"the boxes may lie in the picture as people see it: set {_KEY} to shown; in the one before"
        " EXIF's turn: to stored; or be drawn as seen in numbers of the stored size: to scaled"
    ),
    SCALED: f"set {_KEY} to scaled if the boxes were drawn in a copy of another size",
    EXCHANGED: f"set {_KEY} to shown if the boxes were drawn in the image as it is",
    OTHER_SIZE: (
        f"give the images that were annotated, or set {_KEY} to scaled if each side was scaled by"
        " its own factor"
    ),
}


@dataclass(frozen=True, slots=True)
class FrameMap:
    """A map from pixel coordinates in a file to those in the shown picture.

    matrix  (2, 3): x' y' = matrix @ (x, y, 1); axes are only scaled, mirrored and swapped
    is_same whether nothing changes
    """

    matrix: npt.NDArray[np.float64]
    is_same: bool = False

    @property
    def scale(self) -> float:
        """The factor by which areas grow."""
        return 1.0 if self.is_same else abs(float(np.linalg.det(self.matrix[:, :2])))

    def points(self, points: Points) -> Points:
        """(N, 2) x, y -> (N, 2)."""
        if self.is_same:
            return points
        moved: Points = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved

    def box(self, box: Box) -> Box:
        """x0 y0 x1 y1, not inclusive -> x0 y0 x1 y1; inverted corners stay inverted."""
        if self.is_same:
            return box
        (x0, y0), (x1, y1) = self.points(np.array(box, dtype=np.float64).reshape(2, 2)).tolist()
        # A mirrored axis swaps the corners, which must not put inverted boxes in order.
        if self.matrix[0, :2].min() < 0:
            x0, x1 = x1, x0
        if self.matrix[1, :2].min() < 0:
            y0, y1 = y1, y0
        return x0, y0, x1, y1

    def mask(self, mask: Segmentation, size: Size) -> Segmentation:
        """Map polygons, or a run-length code of the annotated picture, to a picture of `size`."""
        if self.is_same:
            return mask
        if isinstance(mask, list):
            return [self.points(polygon.reshape(-1, 2)).reshape(-1) for polygon in mask]
        bits = self._bits(np.asarray(coco_mask.decode(mask)), size)
        code: Segmentation = coco_mask.encode(np.asfortranarray(bits))
        return code

    def _bits(self, bits: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
        """(H, W) -> `size`; each new pixel has the value at its centre in the old picture."""
        (xx, xy, dx), (yx, yy, dy) = self.matrix.tolist()
        columns, rows = np.arange(size[1]) + 0.5 - dx, np.arange(size[0]) + 0.5 - dy
        if xx:
            x, y = np.floor(columns / xx), np.floor(rows / yy)
        else:  # the axes are swapped
            bits = bits.T
            x, y = np.floor(columns / xy), np.floor(rows / yx)
        y = np.clip(y, 0, bits.shape[0] - 1).astype(np.int64)
        x = np.clip(x, 0, bits.shape[1] - 1).astype(np.int64)
        moved: npt.NDArray[np.uint8] = bits[y[:, None], x]
        return moved


SAME = FrameMap(np.eye(2, 3), is_same=True)


def frame_map(
    annotated: Size | None,
    header: Header,
    reading: Reading,
    where: str,
    *,
    mark: Frame = "auto",
) -> FrameMap | None:
    """The map of one image's boxes to the shown picture; None if it is left out, which is counted.

    annotated  (height, width) in the file; None if there is none
    where      names the image and its annotation in messages
    mark       frame that a known writer uses with the stored picture's size; a setting overrides it
    """
    if annotated is not None and min(annotated) < 1:
        annotated = None
    frame = reading.conventions.frame
    if frame == "auto" and annotated == header.stored_size:
        frame = mark
    if frame == "auto":
        return _as_shown(annotated, header, reading, where)
    moved = _as_said(annotated, header, frame)
    if moved is None:
        assert annotated is not None
        _count_size(annotated, header, reading, where)
    elif not moved.is_same or annotated not in (None, header.size):
        told = where if annotated is None else _sizes(annotated, header.size, where)
        reading.problems.add(MOVED[frame], told, Effect.CHANGED)
    return moved


def moved(found: ParsedObject, frame: FrameMap, shown: Size) -> ParsedObject:
    """The object with its box and mask in the shown picture, whose size is `shown`."""
    if frame.is_same:
        return found
    mask = None if found.segmentation is None else frame.mask(found.segmentation, shown)
    return replace(found, box=frame.box(found.box), segmentation=mask)


def turning(header: Header) -> FrameMap:
    """The map from the stored to the shown picture by the EXIF orientation."""
    height, width = header.stored_size
    w, h = float(width), float(height)
    matrices: dict[int, list[list[float]]] = {
        2: [[-1, 0, w], [0, 1, 0]],
        3: [[-1, 0, w], [0, -1, h]],
        4: [[1, 0, 0], [0, -1, h]],
        5: [[0, 1, 0], [1, 0, 0]],
        6: [[0, -1, h], [1, 0, 0]],
        7: [[0, -1, h], [-1, 0, w]],
        8: [[0, 1, 0], [-1, 0, w]],
    }
    matrix = matrices.get(header.orientation)
    return SAME if matrix is None else FrameMap(np.array(matrix, dtype=np.float64))


def scaling(annotated: Size, shown: Size) -> FrameMap:
    """The map between pictures of two sizes, each axis by its own factor."""
    if annotated == shown:
        return SAME
    factors = [shown[1] / annotated[1], shown[0] / annotated[0]]
    return FrameMap(np.array([[factors[0], 0, 0], [0, factors[1], 0]], dtype=np.float64))


def uniform_factor(annotated: Size, shown: Size) -> float | None:
    """The factor between two sizes if it is the same for both sides up to a pixel; else None."""
    factor = max(shown) / max(annotated)
    rounding = max(1.0, factor)
    off = [abs(side * factor - other) for side, other in zip(annotated, shown, strict=True)]
    return factor if max(off) <= rounding else None


def _as_shown(
    annotated: Size | None, header: Header, reading: Reading, where: str
) -> FrameMap | None:
    """`frame_map` if neither a setting nor the writer determines the frame."""
    if annotated is None or annotated == header.size:
        if header.orientation != 1 and annotated in (None, header.stored_size):
            reading.problems.add(UNSAID, where, Effect.TOLD)
        return SAME
    _count_size(annotated, header, reading, where)
    return None


def _as_said(annotated: Size | None, header: Header, frame: Frame) -> FrameMap | None:
    """`frame_map` for a known frame; None if the sizes contradict it."""
    if frame == "scaled":
        return SAME if annotated is None else scaling(annotated, header.size)
    if frame == "stored" and annotated in (None, header.stored_size):
        return turning(header)
    # The shown picture's size in the file overrides a setting or writer that says "stored".
    if annotated in (None, header.size):
        return SAME
    return SAME if frame == "shown" and annotated == _exchanged(header.size) else None


def _count_size(annotated: Size, header: Header, reading: Reading, where: str) -> None:
    """Count an image whose annotated size is not that of the shown picture, with a remedy."""
    told = _sizes(annotated, header.size, where)
    factor = uniform_factor(annotated, header.size)
    kind, effect = OTHER_SIZE, Effect.BROKEN
    if annotated == header.stored_size and reading.conventions.frame == "auto":
        kind, effect = TURNED, Effect.STOPS
    elif factor is not None:
        kind, told = SCALED, f"{told}, {factor:.4g} times as large"
    elif annotated == _exchanged(header.size):
        kind = EXCHANGED
    reading.problems.add(kind, told, effect, remedy=_REMEDIES[kind])


def _exchanged(size: Size) -> Size:
    return size[1], size[0]


def _sizes(annotated: Size, shown: Size, where: str) -> str:
    return f"{where}: annotated {annotated[1]}x{annotated[0]}, image {shown[1]}x{shown[0]}"
