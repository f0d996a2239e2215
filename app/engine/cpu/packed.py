"""Convolutions and linear layers for inference on a CPU: weights packed once, one pass each.

oneDNN reorders weights at every call unless they are packed before, and can apply the activation to
what it still has in cache.

M: boxes; N, C, H, W: batch, channels, height, width; D: width of a vector
"""

from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.layers.doubling import Doubling, apart


class Activation(NamedTuple):
    """What oneDNN calls an activation, with its parameters."""

    name: str = "none"
    parameters: tuple[float, ...] = ()


NONE, RELU = Activation(), Activation("relu")

# Threads that share a model pack each weight once.
_PACKING = Lock()

# Cells of a map below which oneDNN takes another order of some weights.
_TINY_MAP = 128


def activation_of(function: Callable[[Tensor], Tensor] | None) -> Activation | None:
    """oneDNN's name for a function or module; None where it has none."""
    if function is None or isinstance(function, nn.Identity):
        return NONE
    if function in (F.relu, F.relu_) or isinstance(function, nn.ReLU):
        return RELU
    if isinstance(function, nn.ReLU6):
        return Activation("hardtanh", (0.0, 6.0))
    return Activation("swish") if isinstance(function, nn.SiLU) else None


def can_pack(layer: nn.Module, dtype: torch.dtype) -> bool:
    """Whether oneDNN can do a layer on its device in this precision."""
    if not _available(dtype):
        return False
    if isinstance(layer, nn.Conv2d):
        plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return plain and layer.weight.device.type == "cpu"
    known = isinstance(layer, nn.Linear | nn.ConvTranspose2d)
    return known and layer.weight.device.type == "cpu"


def _available(dtype: torch.dtype) -> bool:
    operators: Any = torch.ops.mkldnn
    library: Any = torch.backends.mkldnn
    if not library.is_available() or not library.enabled:
        return False
    if not hasattr(operators, "_convolution_pointwise") or not hasattr(
        operators, "_reorder_linear_weight"
    ):
        return False
    if dtype == torch.bfloat16:
        return bool(operators._is_mkldnn_bf16_supported())
    return dtype == torch.float32


class PackedConv2d(nn.Module):
    """`activation(conv(x))`; computes in `dtype` whatever the input is, gives `dtype`."""

    def __init__(
        self, conv: nn.Conv2d, *, dtype: torch.dtype, activation: Activation = NONE
    ) -> None:
        super().__init__()
        assert can_pack(conv, dtype)
        self.dtype = dtype
        self.activation = activation
        self.out_channels = conv.out_channels
        self.kernel_size = [int(side) for side in conv.kernel_size]
        self.padding = [int(value) for value in conv.padding]
        self._geometry = (
            self.padding,
            [int(value) for value in conv.stride],
            [int(value) for value in conv.dilation],
            conv.groups,
        )
        # Plain attributes: a packed weight belongs to no state dict and to no other device.
        weight = conv.weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self._unpacked: Tensor | None = weight
        self._packed: dict[bool, Tensor] = {}  # by whether maps are tiny
        self._bias = None if conv.bias is None else conv.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W') in channels-last memory."""
        if not x.numel():
            return self._empty(x)
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            self._input(x),
            self._packed_for(x),
            self._bias,
            *self._geometry,
            self.activation.name,
            list(self.activation.parameters),
            "",
        )
        return y

    def _packed_for(self, x: Tensor) -> Tensor:
        """The weight in the order that suits maps like `x`.

        In another order it is reordered at every call, which may take longer than the convolution.
        """
        is_tiny = x.shape[2] * x.shape[3] < _TINY_MAP
        with _PACKING:
            if is_tiny not in self._packed:
                self._packed[is_tiny] = torch.ops.mkldnn._reorder_convolution_weight(
                    self._plain_weight(), *self._geometry, list(x.shape)
                )
                self._unpacked = None
            return self._packed[is_tiny]

    def _plain_weight(self) -> Tensor:
        if self._unpacked is not None:
            return self._unpacked
        known = next(iter(self._packed.values())).to_dense()
        return known.contiguous(memory_format=torch.channels_last)

    def _input(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).contiguous(memory_format=torch.channels_last)

    def _empty(self, x: Tensor) -> Tensor:
        padding, stride, dilation, _ = self._geometry
        sides = [
            (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (self.kernel_size[i] - 1) - 1)
            // stride[i]
            + 1
            for i in range(2)
        ]
        return x.new_zeros((len(x), self.out_channels, *sides), dtype=self.dtype)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"{self.out_channels}, kernel_size={self.kernel_size}, {self.activation.name}"


class PackedLinear(nn.Module):
    """A linear layer; computes in `dtype` whatever the input is, gives `dtype`.

    sides  (C, S) of the maps it reads, or None for vectors
    """

    def __init__(
        self, linear: nn.Linear, *, dtype: torch.dtype, maps: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        assert can_pack(linear, dtype)
        self.dtype = dtype
        self.out_features = linear.out_features
        weight = linear.weight.detach()
        if maps is not None:
            channels, side = maps
            # Channels last, as the maps lie in memory.
            weight = weight.view(-1, channels, side, side).permute(0, 2, 3, 1).flatten(1)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), None)
        self._bias = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(M, D) or maps (M, C, S, S) -> (M, D')."""
        if not x.numel():
            return x.new_zeros((len(x), self.out_features), dtype=self.dtype)
        if x.dim() == 4:
            x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self.dtype).contiguous(), self._weight, self._bias, "none", [], ""
        )
        return y


class PackedDoubling(PackedConv2d):
    """`Doubling` by one pointwise convolution."""

    @classmethod
    def of(cls, doubling: Doubling, dtype: torch.dtype) -> Self:
        """With the weights of `doubling`."""
        weight, bias = doubling.as_pointwise()
        conv = nn.Conv2d(doubling.in_channels, len(weight), 1)
        conv.weight, conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
        return cls(conv, dtype=dtype, activation=RELU)

    def quarters(self, x: Tensor) -> Tensor:
        """(M, C, S, S) -> (M, S, S, 4, O)."""
        return apart(self(x))
