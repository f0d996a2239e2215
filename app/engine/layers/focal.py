"""Focal loss (arXiv:1708.02002) of dense heads, without a one-hot tensor.

M: number of anchors, K: number of classes
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Logits worked on at once on a CPU: what is computed between them stays in its cache.
_BLOCK = 1 << 18


def focal_loss_of_classes(logits: Tensor, classes: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Sum over anchors of K independent focal losses: (M, K), (M,) int64 -> scalar float32.

    Class K means background: all K targets are 0. Class -1 leaves the anchor out. A negative
    `alpha` switches the class balance off.
    """
    weight_1, weight_0 = (alpha, 1 - alpha) if alpha >= 0 else (1.0, 1.0)
    loss: Tensor = _FocalLoss.apply(logits, classes, gamma, weight_0, weight_1)
    return loss


class _FocalLoss(torch.autograd.Function):
    """Loss and slope in one pass over the logits, computed in float32; keeps only the slope."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        classes: Tensor,
        gamma: float,
        weight_0: float,
        weight_1: float,
    ) -> Tensor:
        slope = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        counts = (classes >= 0).float()
        # All targets count as 0 at first; the few that are 1 then change sides.
        loss = weight_0 * _as_negatives(logits, counts, gamma, weight_0, slope)
        is_object = (classes >= 0) & (classes < logits.shape[1])
        rows = _rows_with(is_object)
        sure, columns = is_object[rows], classes[rows].clamp(0, logits.shape[1] - 1)
        positive = logits[rows, columns].float()
        probs = positive.sigmoid()
        others, doubt = 1 - probs, F.softplus(-positive)
        mistaken = probs**gamma * F.softplus(positive) * sure
        missed = others**gamma * doubt * sure
        loss = loss - weight_0 * mistaken.sum() + weight_1 * missed.sum()
        if slope is not None:
            steep = -weight_1 * others**gamma * (gamma * probs * doubt + others)
            slope[rows, columns] = torch.where(sure, steep.to(slope.dtype), slope[rows, columns])
            ctx.save_for_backward(slope)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (slope,) = ctx.saved_tensors
        return slope * grads[0], None, None, None, None


def _rows_with(is_object: Tensor) -> Tensor:
    """Indices of these anchors; on a GPU of all, which would wait for the number of them."""
    if is_object.device.type == "cpu":
        return is_object.nonzero()[:, 0]
    return torch.arange(len(is_object), device=is_object.device)


def _as_negatives(
    logits: Tensor, counts: Tensor, gamma: float, weight: float, slope: Tensor | None
) -> Tensor:
    """Sum of p**gamma * -log(1 - p) over rows by their `counts` (M,); `slope` gets its own."""
    if logits.device.type == "cpu":
        size = max(1, _BLOCK // max(logits.shape[1], 1))
    else:
        size = max(1, len(logits))  # there every block costs launches
    total, zero = counts.new_zeros(()), counts.new_zeros(())
    for start in range(0, len(logits), size):
        part = slice(start, start + size)
        x = logits[part].float()
        # F.softplus takes ten times as long on a CPU.
        probs, wrong = x.sigmoid(), torch.logaddexp(x, zero)
        factor = probs**gamma
        total += (wrong * factor).sum(dim=1).dot(counts[part])
        if slope is not None:
            wrong.mul_(1 - probs).mul_(gamma).add_(probs).mul_(factor)
            torch.mul(wrong, (weight * counts[part])[:, None], out=slope[part])
    return total
