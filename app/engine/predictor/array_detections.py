"""Detections of one image in NumPy arrays, for code that works without torch.

R: objects, S: side of small masks
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.engine.structures.size import Size

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ArrayDetections:
    """Like `Detections`: boxes (R, 4), scores (R,), classes (R,), masks (R, H, W) bool or None."""

    image_size: Size
    boxes: Array
    scores: Array
    classes: Array
    masks: Array | None = None

    @classmethod
    def from_row(
        cls, size: Size, boxes: Array, scores: Array, classes: Array, masks: Array | None = None
    ) -> Self:
        """Convert one image's outputs of an exported model: drop empty rows, paste the masks."""
        kept = scores > 0
        pasted = None if masks is None else paste_masks(masks[kept], boxes[kept], size)
        return cls(size, boxes[kept], scores[kept], classes[kept], pasted)

    def __len__(self) -> int:
        return len(self.scores)


def paste_masks(masks: Array, boxes: Array, size: Size) -> Array:
    """Stretch probabilities (R, S, S) over boxes (R, 4) -> (R, height, width) bool.

    A pixel belongs to the object if the mask, interpolated at the pixel's centre, is at least 0.5.
    """
    pasted = np.zeros((len(masks), *size), dtype=np.bool_)
    for image, mask, (x0, y0, x1, y1) in zip(pasted, masks, boxes.tolist(), strict=True):
        rows, columns = _span(y0, y1, size[0]), _span(x0, x1, size[1])
        across = _read_along(mask, rows, y0, y1)
        soft = _read_along(across.T, columns, x0, x1).T
        image[rows[0] : rows[1], columns[0] : columns[1]] = soft >= 0.5
    return pasted


def _span(start: float, stop: float, length: int) -> tuple[int, int]:
    """Return the range of pixels that a mask between two edges can cover."""
    first = max(math.floor(start) - 1, 0)
    return first, max(min(math.ceil(stop) + 1, length), first)


def _read_along(mask: Array, span: tuple[int, int], start: float, stop: float) -> Array:
    """Interpolate the rows of a mask at pixel centres, 0 outside: (S, W) -> (pixels, W)."""
    side = len(mask)
    centers = np.arange(*span, dtype=np.float32) + np.float32(0.5)
    places = (centers - np.float32(start)) / np.float32(stop - start) * side - np.float32(0.5)
    padded = np.pad(mask, ((1, 1), (0, 0)))
    below = np.clip(np.floor(places).astype(np.int64), -1, side)
    share = (places - below)[:, None]
    inside = ((places > -1) & (places < side))[:, None]
    upper = padded[np.minimum(below + 2, side + 1)]
    read: Array = np.where(inside, padded[below + 1] * (1 - share) + upper * share, 0.0)
    return read
