"""Focal loss in blocks of anchors, so that intermediate results stay in the CPU cache.

M: number of anchors, K: number of classes
"""

import torch
from torch import Tensor

from app.engine.layers.focal import FocalLoss

# Number of logits in a block.
_BLOCK = 1 << 18


class BlockedFocalLoss(FocalLoss):
    """A `FocalLoss` that processes anchors in blocks."""

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Like `FocalLoss.forward`."""
        anchors = max(1, _BLOCK // max(logits.shape[1], 1))
        blocks = zip(torch.split(logits, anchors), torch.split(classes, anchors), strict=True)
        return torch.stack([super(BlockedFocalLoss, self).forward(*b) for b in blocks]).sum()
