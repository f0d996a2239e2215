"""What `model.raw.onnx` leaves to its user: numpy alone. docs/export.md shows this function."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def finish(
    boxes: Array,
    scores: Array,
    size: Sequence[int],
    original_size: Sequence[int],
    about: Mapping[str, str],
    threshold: float = 0.3,
) -> tuple[Array, Array, Array]:
    """Choose the objects of one image: (R, 4), (R, K) -> boxes (D, 4), scores (D,), classes (D,).

    size, original_size  (height, width) after and before resizing
    about                metadata of the file
    """
    iou_limit, most = (json.loads(about[key]) for key in ("nms_thresh", "max_detections"))
    rows, classes = np.nonzero(scores > threshold)
    order = np.argsort(-scores[rows, classes], kind="stable")
    rows, classes = rows[order], classes[order]
    boxes, scores = boxes[rows].astype(np.float64), scores[rows, classes]
    x0, y0, x1, y1 = boxes.T
    areas = (x1 - x0) * (y1 - y0)
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(best)
        width = np.minimum(x1[best], x1[left]) - np.maximum(x0[best], x0[left])
        height = np.minimum(y1[best], y1[left]) - np.maximum(y0[best], y0[left])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        overlaps = shared > iou_limit * (areas[best] + areas[left] - shared)
        left = left[~(overlaps & (classes[left] == classes[best]))]
    scale = np.divide(original_size, size)[[1, 0, 1, 0]]
    limits = np.array(original_size)[[1, 0, 1, 0]]
    found = np.clip(boxes[kept] * scale, 0, limits).astype(np.float32)
    has_area = (found[:, 2:] > found[:, :2]).all(axis=1)
    return found[has_area], scores[kept][has_area], classes[kept][has_area]
