"""Focal loss by blocks of anchors: what is computed between two steps stays in the cache.

M: number of anchors, K: number of classes
"""

import torch
from torch import Tensor

from app.engine.layers.focal import FocalLoss

# Logits worked on at once.
_BLOCK = 1 << 18


class BlockedFocalLoss(FocalLoss):
    """A `FocalLoss` that takes some anchors at a time."""

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """As `FocalLoss.forward`."""
        anchors = max(1, _BLOCK // max(logits.shape[1], 1))
        blocks = zip(torch.split(logits, anchors), torch.split(classes, anchors), strict=True)
        return torch.stack([super(BlockedFocalLoss, self).forward(*b) for b in blocks]).sum()
