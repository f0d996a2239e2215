"""Focal loss (arXiv:1708.02002) of dense heads, without a one-hot tensor.

M: number of anchors, K: number of classes
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def focal_loss_of_classes(logits: Tensor, classes: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Sum over anchors of K independent focal losses: (M, K), (M,) int64 -> scalar float32.

    Class K means background: all K targets are 0. Class -1 leaves the anchor out. A negative
    `alpha` switches the class balance off.
    """
    logits = logits.float()
    num_classes = logits.shape[1]
    rows = ((classes >= 0) & (classes < num_classes)).nonzero()[:, 0]
    positive = logits[rows, classes[rows]]
    as_negative: Tensor = _NegativeFocalLoss.apply(logits, classes >= 0, gamma)
    # All targets count as 0 at first; the few that are 1 then change sides.
    probs = positive.sigmoid()
    as_positive = (1 - probs) ** gamma * F.softplus(-positive)
    mistaken = probs**gamma * F.softplus(positive)
    weight_1, weight_0 = (alpha, 1 - alpha) if alpha >= 0 else (1.0, 1.0)
    return weight_0 * (as_negative - mistaken.sum()) + weight_1 * as_positive.sum()


class _NegativeFocalLoss(torch.autograd.Function):
    """Sum of p**gamma * -log(1 - p) over the rows that count; keeps nothing but its input."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, counts: Tensor, gamma: float) -> Tensor:
        ctx.save_for_backward(logits, counts)
        ctx.gamma = gamma
        loss = F.softplus(logits).mul_(logits.sigmoid().pow_(gamma))
        return (loss.sum(dim=1) * counts).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        logits, counts = ctx.saved_tensors
        gamma = ctx.gamma
        probs = logits.sigmoid()
        slope = F.softplus(logits).mul_(1 - probs).mul_(gamma).add_(probs)
        slope.mul_(probs.pow_(gamma))
        return slope.mul_(counts[:, None] * grads[0]), None, None
