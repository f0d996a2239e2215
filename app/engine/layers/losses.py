"""Losses of aligned predictions and targets, not summed.

N: number of boxes or elements. Boxes are x0 y0 x1 y1.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Avoids division by zero areas and diagonals; detectron2's value.
_EPS = 1e-7


def smooth_l1_loss(pred: Tensor, target: Tensor, *, beta: float) -> Tensor:
    """Quadratic below `beta`, linear above, in any shape. A `beta` under 1e-5 means L1."""
    difference = (pred - target).abs()
    if beta < 1e-5:
        return difference
    quadratic = 0.5 * difference**2 / beta
    return torch.where(difference < beta, quadratic, difference - 0.5 * beta)


def giou_loss(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Generalised IoU loss (https://arxiv.org/abs/1902.09630): (..., 4) twice -> (...)."""
    intersection, union = _intersection_and_union(boxes1, boxes2)
    enclosing = _product(_enclosing_sides(boxes1, boxes2))
    giou = intersection / (union + _EPS) - (enclosing - union) / (enclosing + _EPS)
    return 1 - giou


def diou_loss(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Distance IoU loss (https://arxiv.org/abs/1911.08287): (..., 4) twice -> (...)."""
    iou, penalty = _iou_and_center_penalty(boxes1, boxes2)
    return 1 - iou + penalty


def ciou_loss(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Complete IoU loss (https://arxiv.org/abs/1911.08287): (..., 4) twice -> (...)."""
    iou, penalty = _iou_and_center_penalty(boxes1, boxes2)
    slant1, slant2 = _slant(boxes1), _slant(boxes2)
    mismatch = (4 / math.pi**2) * (slant2 - slant1) ** 2
    with torch.no_grad():
        trade_off = mismatch / (1 - iou + mismatch + _EPS)
    return 1 - iou + penalty + trade_off * mismatch


IOU_LOSSES: dict[str, Callable[..., Tensor]] = {
    "giou": giou_loss,
    "diou": diou_loss,
    "ciou": ciou_loss,
}


def _sides(boxes: Tensor) -> Tensor:
    return boxes[..., 2:] - boxes[..., :2]


def _product(sides: Tensor) -> Tensor:
    return sides[..., 0] * sides[..., 1]


def _slant(boxes: Tensor) -> Tensor:
    width, height = _sides(boxes).unbind(dim=-1)
    return torch.atan(width / height)


def _intersection_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    sides = torch.minimum(boxes1[..., 2:], boxes2[..., 2:]) - torch.maximum(
        boxes1[..., :2], boxes2[..., :2]
    )
    # `where`, not `clamp`: boxes that only touch must not get a gradient.
    intersection = torch.where((sides > 0).all(dim=-1), _product(sides), 0.0)
    union = _product(_sides(boxes1)) + _product(_sides(boxes2)) - intersection
    return intersection, union


def _enclosing_sides(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    return torch.maximum(boxes1[..., 2:], boxes2[..., 2:]) - torch.minimum(
        boxes1[..., :2], boxes2[..., :2]
    )


def _iou_and_center_penalty(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    intersection, union = _intersection_and_union(boxes1, boxes2)
    diagonal = (_enclosing_sides(boxes1, boxes2) ** 2).sum(dim=-1) + _EPS
    apart = (boxes1[..., :2] + boxes1[..., 2:] - boxes2[..., :2] - boxes2[..., 2:]) / 2
    return intersection / (union + _EPS), (apart**2).sum(dim=-1) / diagonal
