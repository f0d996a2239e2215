"""Focal loss (arXiv:1708.02002) of dense heads, without a one-hot tensor.

M: number of anchors, K: number of classes
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FocalLoss(nn.Module):
    """Sum over anchors of K independent focal losses; negative `alpha`: no class balancing."""

    def __init__(self, *, alpha: float, gamma: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """(M, K), (M,) int64 -> scalar float32.

        Class K means background: all K targets are 0. Class -1 leaves the anchor out.
        """
        weight_1, weight_0 = (self.alpha, 1 - self.alpha) if self.alpha >= 0 else (1.0, 1.0)
        loss: Tensor = _FocalLoss.apply(logits, classes, self.gamma, weight_0, weight_1)
        return loss


class _FocalLoss(torch.autograd.Function):
    """Computes loss and gradient in one pass in float32, and keeps only the gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        classes: Tensor,
        gamma: float,
        weight_0: float,
        weight_1: float,
    ) -> Tensor:
        # First treat all targets as 0, then correct the few that are 1.
        x, counts = logits.float(), (classes >= 0).float()
        # logaddexp: F.softplus takes ten times as long on a CPU.
        probs, wrong = x.sigmoid(), torch.logaddexp(x, x.new_zeros(()))
        factor = probs**gamma
        loss = weight_0 * (wrong * factor).sum(dim=1).dot(counts)
        is_object = (classes >= 0) & (classes < logits.shape[1])
        columns = classes.clamp(0, logits.shape[1] - 1)[:, None]
        positive, prob = (values.gather(1, columns)[:, 0] for values in (x, probs))
        others, doubt = 1 - prob, F.softplus(-positive)
        mistaken = prob**gamma * F.softplus(positive) * is_object
        missed = others**gamma * doubt * is_object
        loss = loss - weight_0 * mistaken.sum() + weight_1 * missed.sum()
        if ctx.needs_input_grad[0]:
            wrong.mul_(1 - probs).mul_(gamma).add_(probs).mul_(factor)
            slope = wrong.mul_((weight_0 * counts)[:, None])
            steep = -weight_1 * others**gamma * (gamma * prob * doubt + others)
            flat = slope.gather(1, columns)[:, 0]
            slope.scatter_(1, columns, torch.where(is_object, steep, flat)[:, None])
            ctx.save_for_backward(slope.to(logits.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (slope,) = ctx.saved_tensors
        return slope * grads[0], None, None, None, None
