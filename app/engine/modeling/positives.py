"""Losses of positive rows, by masks: selecting the rows would make the CPU wait for the GPU.

N: rows
"""

import torch
from torch import Tensor


def targets_where(is_positive: Tensor, gt_boxes: Tensor, boxes: Tensor) -> Tensor:
    """`gt_boxes` (N, 4) of the positive rows (N,); the other rows get their own box as target."""
    return torch.where(is_positive[:, None], gt_boxes, boxes)


def sum_where(is_positive: Tensor, losses: Tensor) -> Tensor:
    """Sum `losses` (N, ...) over the positive rows (N,) -> scalar."""
    others = ~is_positive.view(-1, *[1] * (losses.dim() - 1))
    return losses.masked_fill(others, 0.0).sum()
