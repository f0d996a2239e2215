"""Products of matrices by oneDNN's operators that torch keeps private: the only file with them.

Weights are brought once into the order that oneDNN computes with; the public operators would do so
at every call, or call a library that is slower on some processors. Where an operator is missing, or
gives something else than the plain product when it is tried, the plain product is taken.

T: rows; G: groups; C, O: input and output channels
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Product = Callable[[Tensor], Tensor]
"""Multiplies rows by a fixed matrix and adds a fixed bias."""

_Maker = Callable[[Tensor, Tensor | None, int], Product]

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


_KINDS: dict[str, tuple[_Maker, _Maker]] = {
    "linear": (_packed_linear, _plain_linear),
    "groups": (_packed_groups, _plain_groups),
}
"""How each kind of product is made: by oneDNN, and plainly."""


@lru_cache
def _agrees(kind: str, dtype: torch.dtype) -> bool:
    """Whether oneDNN's product is there and right, tried on a small one; a few milliseconds."""
    library: Any = torch.backends.mkldnn
    if not library.is_available() or not library.enabled:
        return False
    generator = torch.Generator().manual_seed(0)
    groups, outputs, channels, rows = 36, 24, 40, 72
    shape = (groups, outputs, channels) if kind == "groups" else (outputs, channels)
    count = groups if kind == "groups" else 1
    weight, bias, x = (
        torch.randn(size, generator=generator).to(dtype)
        for size in (shape, (count * outputs,), (rows, count * channels))
    )
    packed, plain = _KINDS[kind]
    try:
        found = packed(weight, bias, rows)(x)
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        logger.info("oneDNN has no product (%s, %s) here: %s", kind, dtype, error)
        return False
    expected = plain(weight.float(), bias.float(), rows)(x.float())
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    agrees = found.dtype == dtype and torch.allclose(
        found.float(), expected, rtol=tolerance, atol=20 * tolerance
    )
    if not agrees:
        logger.warning("oneDNN's product (%s, %s) is wrong on this machine", kind, dtype)
    return agrees
