"""Losses of few rows among many, without a wait for their number, which a GPU cannot afford.

N: rows
"""

import torch
from torch import Tensor


def targets_where(is_positive: Tensor, gt_boxes: Tensor, boxes: Tensor) -> Tensor:
    """`gt_boxes` (N, 4) of positive rows (N,); for the others their own box, a harmless target."""
    return torch.where(is_positive[:, None], gt_boxes, boxes)


def sum_where(is_positive: Tensor, losses: Tensor) -> Tensor:
    """Sum of positive rows (N,): (N, ...) -> scalar."""
    others = ~is_positive.view(-1, *[1] * (losses.dim() - 1))
    return losses.masked_fill(others, 0.0).sum()
