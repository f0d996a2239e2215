"""Deformable convolution, version 1 (offsets) and 2 (offsets and a mask).

N, C, H, W: batch, channels, height, width; G: offset groups; k: kernel side
"""

import torch
from torch import Tensor, nn


class DeformConv(nn.Module):
    """A convolution without bias whose k * k sampling positions have offsets, then `norm`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size)
        )
        self.bias = None
        self.norm = norm
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W').

        offset  (N, 2 G k k, H', W'): y and x offset of each position, in input cells
        mask    (N, G k k, H', W'): weight of each position (version 2), or None
        """
        from torchvision.ops import deform_conv2d  # slow to import

        # Half precision is too coarse for positions, and torchvision has no kernel for it.
        y: Tensor = deform_conv2d(
            x.float(),
            offset.float(),
            self.weight.float(),
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            mask=None if mask is None else mask.float(),
        )
        x = y.to(x.dtype)
        return x if self.norm is None else self.norm(x)
