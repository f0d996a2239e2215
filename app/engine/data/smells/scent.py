"""A set of images as the smells look at it, and when shares of it say something."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from app.engine.data.formats import Reading
from app.engine.data.problems import Problems
from app.engine.structures.sample import ImageRecord

MIN_OBJECTS = 6
"""With fewer objects, shares of them say nothing."""

MANY = 1 / 3
SOME = 0.2
FEW = 0.02

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
