"""In which picture the boxes of an annotation file lie: the shown, the stored, or a scaled one.

A file may say the size of the picture that was annotated. Where that is not the size in which the
picture is shown, boxes are moved only as `Conventions.frame` or the mark of a known writer says:
the numbers alone do not tell which picture they were drawn in.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.engine.data.formats._reading import Frame, Reading
from app.engine.data.image import Header
from app.engine.data.problems import Effect
from app.engine.structures.size import Size

Box = tuple[float, float, float, float]
Points = npt.NDArray[np.float64]

TURNED = "annotated size is that of the stored picture, which EXIF turns"
SCALED = "annotated size is not the image's but in proportion to it (left out)"
OTHER_SIZE = "annotated size is not the image's (left out)"
MIRRORED = "photograph that EXIF turns by 180 degrees or mirrors (boxes taken as drawn when shown)"


@dataclass(frozen=True, slots=True)
class FrameMap:
    """From the pixels that a file speaks of to those of the shown picture.

    matrix  (2, 3): x' y' = matrix @ (x, y, 1)
    is_same whether nothing changes
    """

    matrix: npt.NDArray[np.float64]
    is_same: bool = False

    def points(self, points: Points) -> Points:
        """(N, 2) x, y -> the same points."""
        if self.is_same:
            return points
        moved: Points = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved

    def box(self, box: Box) -> Box:
        """x0 y0 x1 y1, not inclusive -> the same box; inverted corners stay inverted."""
        if self.is_same:
            return box
        (x0, y0), (x1, y1) = self.points(np.array(box, dtype=np.float64).reshape(2, 2)).tolist()
        # An axis that runs the other way swaps the corners; it must not repair inverted boxes.
        if self.matrix[0, :2].min() < 0:
            x0, x1 = x1, x0
        if self.matrix[1, :2].min() < 0:
            y0, y1 = y1, y0
        return x0, y0, x1, y1


SAME = FrameMap(np.eye(2, 3), is_same=True)


def frame_map(
    annotated: Size | None,
    header: Header,
    reading: Reading,
    where: str,
    *,
    mark: Frame = "auto",
) -> FrameMap | None:
    """How the boxes of one image get to the shown picture; None, and counted, where it is left out.

    annotated  height and width as the file says, None where it does not
    where      names the image and its annotation in messages
    mark       what a writer that is known by a mark in its files means; a setting goes before it
    """
    asked = reading.conventions.frame
    frame = mark if asked == "auto" else asked
    if annotated is None or min(annotated) < 1:
        annotated = None
    if frame == "stored":
        return _stored(annotated, header, reading, where)
    if annotated is None or (annotated == header.size and frame != "scaled"):
        if frame == "auto" and header.orientation in (2, 3, 4) and annotated is not None:
            reading.problems.add(MIRRORED, where, Effect.TOLD)
        return SAME
    if frame == "scaled":
        return scaling(annotated, header.size)
    if frame == "shown" and annotated == header.stored_size:
        return SAME
    if annotated == header.stored_size:
        reading.problems.add(TURNED, _sizes(annotated, header.size, where), Effect.STOPS)
    else:
        _count_size(annotated, header, reading, where)
    return None


def turning(header: Header) -> FrameMap:
    """From the stored picture to the shown one, as EXIF's orientation says."""
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
    """From a picture of one size to one of another, each axis by its own factor."""
    if annotated == shown:
        return SAME
    factors = [shown[1] / annotated[1], shown[0] / annotated[0]]
    return FrameMap(np.array([[factors[0], 0, 0], [0, factors[1], 0]], dtype=np.float64))


def _stored(
    annotated: Size | None, header: Header, reading: Reading, where: str
) -> FrameMap | None:
    """`frame_map` for boxes of the stored picture."""
    if annotated is None or annotated == header.stored_size:
        return turning(header)
    if annotated == header.size:  # the file itself says that this one was annotated as shown
        return SAME
    _count_size(annotated, header, reading, where)
    return None


def _count_size(annotated: Size, header: Header, reading: Reading, where: str) -> None:
    """One more image whose annotated size is neither the shown nor the stored one."""
    factor = uniform_factor(annotated, header.size)
    told = _sizes(annotated, header.size, where)
    if factor is None:
        reading.problems.add(OTHER_SIZE, told, Effect.BROKEN)
    else:
        reading.problems.add(SCALED, f"{told}, {factor:.4g} times as large", Effect.BROKEN)


def uniform_factor(annotated: Size, shown: Size) -> float | None:
    """How many times as large the image is, where both sides agree up to a pixel; else None."""
    factor = max(shown) / max(annotated)
    rounding = max(1.0, factor)
    off = [abs(side * factor - other) for side, other in zip(annotated, shown, strict=True)]
    return factor if max(off) <= rounding else None


def _sizes(annotated: Size, shown: Size, where: str) -> str:
    return f"{where}: annotated {annotated[1]}x{annotated[0]}, image {shown[1]}x{shown[0]}"
