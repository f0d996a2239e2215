"""3x3 convolutions by Winograd's tiles with gradients: a quarter of the multiplications.

The gradient of the input is a convolution with the flipped weights. The gradient of the weights is
a sum of products over tiles in the Winograd domain, which is transformed back once.

N, C, H, W: batch, channels, height, width; O: output channels
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from app.engine.cpu.winograd_tiles import FILTER, PRODUCTS, of_tile, tiles_of
from app.engine.cpu.winograd_transforms import reading, spreading, writing
from app.engine.cpu.winograd_windows import portions
from app.engine.layers.conv import Conv2d

# Tiles processed at once: the data of a core stays in its cache, the matrix products are large.
_TILES_AT_ONCE = 304
# With fewer tiles the transformed weights (four times as large) cost more than the map.
_FEWEST_TILES = 64


class TiledConv2d(Conv2d):
    """A `Conv2d` that computes by tiles in training if its maps have many tiles."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.training and has_many_tiles(input):
            return convolve_by_tiles(input, weight, bias)
        y: Tensor = super()._conv_forward(input, weight, bias)
        return y


def has_many_tiles(x: Tensor) -> bool:
    """Whether maps (N, C, H, W) are large enough for tiles to be faster."""
    down, across = tiles_of(*x.shape[2:])
    return len(x) * down * across >= _FEWEST_TILES


def convolve_by_tiles(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """3x3 convolution of padding 1: (N, C, H, W) -> (N, O, H, W) in channels-last memory.

    Products are in the dtype of autocast, or of the maps without autocast.
    """
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    result: Tensor = _ByTiles.apply(x, weight, bias)
    return result


class _ByTiles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        with torch.autocast("cpu", enabled=False):
            return _convolved(x, _transformed(weight, x.dtype).mT, bias)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        turned = _transformed(weight.flip(2, 3), grad.dtype) if of_x else None
        return (
            None if turned is None else _convolved(grad, turned, None),
            _of_filters(x, grad).to(weight.dtype) if of_weight else None,
            grad.sum(dim=(0, 2, 3)) if of_bias else None,
        )


def _convolved(x: Tensor, filters: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve by tiles: (N, C, H, W), (36, C, O) -> (N, O, H, W)."""
    count, channels, height, width = x.shape
    shape = (count, filters.shape[2], height, width)
    result = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
    cells, target = x.permute(0, 2, 3, 1), result.permute(0, 2, 3, 1)
    for images, reads, writes, window in portions(count, height, width, most=_TILES_AT_ONCE):
        part = cells[images, reads].reshape(-1, channels)
        values = reading(window, by_product=True)(part)
        values = torch.bmm(values.view(PRODUCTS, -1, channels), filters)
        values = writing(window, by_product=True)(values.flatten(0, 1))
        if bias is not None:
            values += bias
        to = target[images, writes]
        to.copy_(values.view_as(to))
    return result


def _of_filters(x: Tensor, grad: Tensor) -> Tensor:
    """Weight gradient (O, C, 3, 3) from inputs (N, C, H, W) and output gradients (N, O, H, W).

    Sums over portions of tiles are at least in float32.
    """
    count, in_channels, height, width = x.shape
    channels = grad.shape[1]
    precision = torch.promote_types(x.dtype, torch.float32)
    total = torch.zeros((PRODUCTS, channels, in_channels), dtype=precision)
    cells, grads = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
    for images, reads, writes, window in portions(count, height, width, most=_TILES_AT_ONCE):
        part = cells[images, reads].reshape(-1, in_channels)
        values = reading(window, by_product=True)(part).view(PRODUCTS, -1, in_channels)
        part = grads[images, writes].reshape(-1, channels)
        slopes = spreading(window)(part).view(PRODUCTS, -1, channels).mT
        if x.dtype == precision:
            total.baddbmm_(slopes, values)
        else:
            total += torch.bmm(slopes, values)
    taps = of_tile(FILTER).T.to(precision) @ total.flatten(1)
    return taps.T.reshape(channels, in_channels, 3, 3)


def _transformed(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Transform weights (O, C, 3, 3) -> (36, O, C)."""
    values = of_tile(FILTER).to(weight.dtype) @ weight.reshape(-1, 9).T
    return values.to(dtype).view(PRODUCTS, *weight.shape[:2])
