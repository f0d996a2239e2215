"""Greedy suppression of overlapping boxes within each class.

P: number of boxes
"""

import torch
from torch import Tensor
from torchvision.ops import nms


def batched_nms(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    iou_threshold: float,
    *,
    limit: int | None = None,
) -> Tensor:
    """Indices of the boxes that stay, best first: (P, 4), (P,), (P,) -> (<= P,) int64.

    A box goes when a better one of its class overlaps it by more than `iou_threshold`. Equal
    scores keep their order. With `limit` only the first `limit` survivors are looked for.
    The result does not depend on the number of boxes or the device.
    """
    order = scores.float().argsort(descending=True, stable=True)
    apart = _move_classes_apart(boxes, classes)[order]
    size = len(order) if limit is None else min(len(order), 4 * limit)
    while True:
        # Whether a box stays depends on better ones alone: a prefix answers for itself.
        kept = nms_sorted(apart[:size], iou_threshold)
        if size == len(order) or (limit is not None and len(kept) >= limit):
            return order[kept[:limit]]
        size = min(len(order), 4 * size)


def nms_sorted(boxes: Tensor, iou_threshold: float) -> Tensor:
    """Class-less suppression of boxes that are sorted already: (P, 4) -> (<= P,) ascending."""
    rank = torch.arange(len(boxes), 0, -1, device=boxes.device, dtype=boxes.dtype)
    kept: Tensor = nms(boxes, rank, iou_threshold)
    return kept


def _move_classes_apart(boxes: Tensor, classes: Tensor) -> Tensor:
    # In double precision the shift loses nothing, unlike torchvision's in single precision.
    boxes = boxes.double()
    if not len(boxes):
        return boxes
    low, high = boxes.aminmax()
    return boxes + (classes.double() * (high - low + 1))[:, None]
