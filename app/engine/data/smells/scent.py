"""The data of an image set that the smells examine, and their common thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from app.engine.data.formats import Reading
from app.engine.data.problems import Problems
from app.engine.structures.record import ImageRecord

MIN_OBJECTS = 6
"""With fewer objects, shares are not meaningful."""

MANY = 1 / 3
SOME = 0.2
FEW = 0.02

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scent:
    """The data of an image set that the smells examine.

    is_xywh     whether the format has boxes as corner and size
    is_centred  whether the format has boxes as centre and size
    """

    records: Sequence[ImageRecord]
    reading: Reading
    is_xywh: bool
    is_centred: bool = False

    @cached_property
    def boxes(self) -> Floats:
        """(G, 4) x0 y0 x1 y1 of all boxes before any check."""
        return np.array(self.reading.facts.boxes, dtype=np.float64).reshape(-1, 4)

    @cached_property
    def sizes(self) -> Floats:
        """(G, 2) width and height of each object's image."""
        sizes = np.array(self.reading.facts.sizes, dtype=np.float64).reshape(-1, 2)
        return sizes[:, ::-1]

    @property
    def problems(self) -> Problems:
        """The problems found while the set was read."""
        return self.reading.problems

    def fits(self, boxes: Floats) -> Flags:
        """(G,) flags of the boxes that have an area and lie, up to a pixel, inside their images."""
        found = (boxes[:, :2] >= -1) & (boxes[:, 2:] <= self.sizes + 1)
        return np.asarray((found & (boxes[:, 2:] > boxes[:, :2])).all(axis=1))
