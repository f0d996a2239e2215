"""A map that gives each pixel a class or a segment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from app.engine.drawing.colors import Color
from app.engine.drawing.marks import Array


@dataclass(frozen=True, slots=True)
class LabelMap:
    """The labels (H, W) of a picture's pixels, with names and colours by value.

    Values without a colour are not drawn.
    """

    labels: Array
    names: Mapping[int, str]
    colors: Mapping[int, Color]

    def values(self) -> Iterator[int]:
        """Yield the values that are drawn, those of the largest regions first."""
        found, counts = np.unique(self.labels, return_counts=True)
        for index in np.argsort(-counts, kind="stable"):
            if int(found[index]) in self.colors:
                yield int(found[index])

    def middle(self, value: int) -> tuple[float, float]:
        """Return (x, y) of a pixel of this value that lies near the middle of its region."""
        rows, columns = np.nonzero(self.labels == value)
        away = (rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2
        nearest = int(away.argmin())
        return float(columns[nearest]), float(rows[nearest])
