"""The objects that are drawn on a picture.

R: objects; H, W: height and width of the picture; K: keypoints of an object
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Edges = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Marks:
    """R objects, the best first; coordinates are in pixels of the picture.

    boxes      (R, 4) float: x0 y0 x1 y1
    classes    (R,) int
    scores     (R,) float in 0..1; None for objects without scores, such as labels
    masks      (R, H, W) bool, or None
    keypoints  (R, K, 3) float: x, y and score (0: not there), or None
    edges      pairs of keypoints that a line joins
    """

    boxes: Array
    classes: Array
    scores: Array | None = None
    masks: Array | None = None
    keypoints: Array | None = None
    edges: Edges = field(default=())

    @classmethod
    def of(cls, found: Any, *, at_least: float = 0.0, edges: Edges = ()) -> Self:
        """Return a detector's objects (on the CPU) with scores of `at_least`."""
        scores = np.asarray(found.scores)
        kept = scores >= at_least

        def rows(name: str) -> Array | None:
            values = getattr(found, name, None)
            return None if values is None else np.asarray(values)[kept]

        return cls(
            np.asarray(found.boxes)[kept],
            np.asarray(found.classes)[kept],
            scores[kept],
            rows("masks"),
            rows("keypoints"),
            edges,
        )

    def __len__(self) -> int:
        return len(self.boxes)
