"""Convolutions for inference: filters are packed once, and a ReLU is no pass of its own.

N, C, H, W: batch, channels, height, width; O: output channels
"""

from collections.abc import Iterable
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.cpu.onednn import Geometry, convolution
from app.engine.layers.conv import Conv2d


class PackedConv2d(nn.Module):
    """`activation(conv(x))`; computes in `dtype` whatever the input is, and returns `dtype`."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self._activation = conv.activation if isinstance(conv, Conv2d) else None
        is_relu = self._activation in (F.relu, F.relu_)
        geometry = Geometry(
            _pair(conv.padding), _pair(conv.stride), _pair(conv.dilation), conv.groups
        )
        bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        # A plain attribute: packed filters belong to no state dict and to no other device.
        self._product = convolution(
            conv.weight.detach().to(dtype), bias, geometry, "relu" if is_relu else "none"
        )
        if is_relu:
            self._activation = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H', W') in channels-last memory."""
        y = self._product(x.to(self.dtype).contiguous(memory_format=torch.channels_last))
        return y if self._activation is None else self._activation(y)


def can_pack(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a convolution is a plain one that is done with its norm."""
    return (
        type(conv) in (nn.Conv2d, Conv2d)
        and isinstance(conv, nn.Conv2d)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and getattr(conv, "norm", None) is None
    )


def _pair(values: Iterable[int | str]) -> tuple[int, int]:
    vertical, horizontal = map(int, values)
    return vertical, horizontal
