"""Linear layers for inference with weights that are packed once.

M: boxes; D: width of a vector
"""

import torch
from torch import Tensor, nn

from app.engine.cpu.onednn import linear_product


class PackedLinear(nn.Module):
    """A linear layer that converts its input to `dtype`, and computes and returns `dtype`."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.out_features = linear.out_features
        bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        # Not a parameter: a packed weight cannot be in a state dict or move to another device.
        self._product = linear_product(linear.weight.detach().to(dtype), bias)

    def forward(self, x: Tensor) -> Tensor:
        """(M, D) -> (M, D')."""
        if not x.numel():
            return x.new_zeros((len(x), self.out_features), dtype=self.dtype)
        return self._product(x.to(self.dtype))
