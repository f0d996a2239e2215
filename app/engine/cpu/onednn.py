"""Products and convolutions by oneDNN's private operators in torch: the only file that uses them.

Weights are reordered once for oneDNN; the public operators would reorder them at every call, or
call a library that is slower on some processors. Where an operator is missing, or its result
differs from the plain one when it is tried, the plain operator is used.

T: rows; G: groups; C, O: input and output channels; N, H, W: maps, height, width
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Product = Callable[[Tensor], Tensor]
"""Multiplies rows by a fixed matrix, or convolves maps by fixed filters, and adds a fixed bias."""

_Maker = Callable[..., Product]

# Cells of a map below which oneDNN takes another order of some filters.
_TINY_MAP = 128

logger = logging.getLogger(__name__)


def linear_product(weight: Tensor, bias: Tensor | None) -> Product:
    """x @ weight.T + bias: weight (O, C), (T, C) -> (T, O), in the number format of the weight."""
    make = _packed_linear if _agrees("linear", weight.dtype) else _plain_linear
    return make(weight, bias, 1)


def grouped_product(weight: Tensor, bias: Tensor | None, rows: int) -> Product:
    """As many products as there are groups, in one call: weight (G, O, C), (T, G C) -> (T, G O).

    rows  about how many there will be
    """
    make = _packed_groups if _agrees("groups", weight.dtype) else _plain_groups
    return make(weight, bias, rows)


def _plain_linear(weight: Tensor, bias: Tensor | None, _: int) -> Product:
    return lambda x: F.linear(x, weight, bias)


def _packed_linear(weight: Tensor, bias: Tensor | None, _: int) -> Product:
    operators: Any = torch.ops.mkldnn
    packed = operators._reorder_linear_weight(weight.contiguous(), None)
    return lambda x: operators._linear_pointwise(x.contiguous(), packed, bias, "none", [], "")


def _plain_groups(weight: Tensor, bias: Tensor | None, _: int) -> Product:
    groups, outputs, channels = weight.shape

    def product(x: Tensor) -> Tensor:
        y = torch.bmm(x.view(-1, groups, channels).transpose(0, 1), weight.mT)
        y = y.transpose(0, 1).reshape(-1, groups * outputs)
        return y if bias is None else y + bias

    return product


def _packed_groups(weight: Tensor, bias: Tensor | None, rows: int) -> Product:
    """A pointwise convolution whose groups are the products."""
    operators: Any = torch.ops.mkldnn
    groups, outputs, channels = weight.shape
    geometry = [0, 0], [1, 1], [1, 1], groups
    filters = weight.flatten(0, 1)[:, :, None, None]
    packed = operators._reorder_convolution_weight(
        filters, *geometry, [1, groups * channels, 1, rows]
    )

    def product(x: Tensor) -> Tensor:
        maps = x.view(1, 1, -1, groups * channels).permute(0, 3, 1, 2)
        y = operators._convolution_pointwise(maps, packed, bias, *geometry, "none", [], "")
        return y.permute(0, 2, 3, 1).view(-1, groups * outputs)  # type: ignore[no-any-return]

    return product


@dataclass(frozen=True)
class Geometry:
    """How a kernel moves over a map: (vertical, horizontal) each, and the groups of channels."""

    padding: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def convolution(
    weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: str
) -> Product:
    """A convolution and its activation, "none" or "relu": (N, C, H, W) -> (N, O, H', W').

    Input and result are in channels-last memory and in the number format of the weight.
    """
    make = _packed_conv if _agrees("convolution", weight.dtype) else _plain_conv
    return make(weight, bias, geometry, activation)


def _plain_conv(
    weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: str
) -> Product:
    how = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)

    def product(x: Tensor) -> Tensor:
        y = F.conv2d(x, weight, bias, *how)
        return F.relu_(y) if activation == "relu" else y

    return product


def _packed_conv(
    weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: str
) -> Product:
    operators: Any = torch.ops.mkldnn
    how = (geometry.padding, geometry.stride, geometry.dilation, geometry.groups)
    filters = _PackedFilters(weight, how)

    def product(x: Tensor) -> Tensor:
        y: Tensor = operators._convolution_pointwise(
            x, filters.suited_to(x), bias, *how, activation, [], ""
        )
        return y

    return product


class _PackedFilters:
    """Filters in the order that oneDNN prefers for the size of a map; another order is slower.

    The plain filters are dropped at the first packing: the model would keep them twice.
    """

    def __init__(self, weight: Tensor, how: tuple[Any, ...]) -> None:
        self._how = how
        self._plain: Tensor | None = weight
        self._packed: dict[bool, Tensor] = {}
        self._lock = Lock()  # threads may share a model

    def suited_to(self, x: Tensor) -> Tensor:
        """The filters for maps (N, C, H, W)."""
        is_tiny = x.shape[2] * x.shape[3] < _TINY_MAP
        with self._lock:
            if is_tiny not in self._packed:
                plain, self._plain = self._plain, None
                if plain is None:
                    plain = self._packed[not is_tiny].to_dense()
                self._packed[is_tiny] = torch.ops.mkldnn._reorder_convolution_weight(
                    plain.contiguous(memory_format=torch.channels_last), *self._how, list(x.shape)
                )
            return self._packed[is_tiny]


_KINDS: dict[str, tuple[_Maker, _Maker]] = {
    "linear": (_packed_linear, _plain_linear),
    "groups": (_packed_groups, _plain_groups),
    "convolution": (_packed_conv, _plain_conv),
}
"""The two makers of each kind of product: oneDNN's, and the plain one."""

_TRIALS: dict[str, tuple[tuple[int, ...], int, tuple[int, ...], tuple[Any, ...]]] = {
    "linear": ((24, 40), 24, (72, 40), (1,)),
    "groups": ((36, 24, 40), 36 * 24, (72, 36 * 40), (72,)),
    "convolution": (
        *((24, 40, 3, 3), 24, (2, 40, 9, 11)),
        (Geometry((1, 1), (2, 2), (1, 1), 1), "relu"),
    ),
}
"""A small product of each kind: shape of the weight, length of the bias, shape of the input, and
what else its makers need."""


@lru_cache
def _agrees(kind: str, dtype: torch.dtype) -> bool:
    """Whether oneDNN's product is there and right, tried on a small one; a few milliseconds."""
    library: Any = torch.backends.mkldnn
    if not library.is_available() or not library.enabled:
        return False
    generator = torch.Generator().manual_seed(0)
    weight_shape, num_outputs, input_shape, how = _TRIALS[kind]
    weight, bias, x = (
        torch.randn(size, generator=generator).to(dtype)
        for size in (weight_shape, (num_outputs,), input_shape)
    )
    packed, plain = _KINDS[kind]
    try:
        found = packed(weight, bias, *how)(x)
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        logger.info("oneDNN has no product (%s, %s) here: %s", kind, dtype, error)
        return False
    expected = plain(weight.float(), bias.float(), *how)(x.float())
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    agrees = found.dtype == dtype and torch.allclose(
        found.float(), expected, rtol=tolerance, atol=20 * tolerance
    )
    if not agrees:
        logger.warning("oneDNN's product (%s, %s) is wrong on this machine", kind, dtype)
    return agrees
