"""3x3 convolutions by Winograd's minimal filtering: a quarter of the products.

N, C, H, W: batch, channels, height, width; O: output channels; T: tiles in work at once
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.cpu.onednn import Product, grouped_product
from app.engine.cpu.winograd_tiles import (
    FILTER,
    OUTPUT,
    PRODUCTS,
    SIDE,
    TILE,
    of_tile,
    shares,
    tiles_of,
    with_margins,
)
from app.engine.cpu.winograd_transforms import reading, writing
from app.engine.cpu.winograd_windows import Window, portions
from app.engine.layers.conv import Conv2d

# Tiles at once, times channels: what a core works on stays in its cache, the matrix products are
# still large.
_VALUES_AT_ONCE = 152 * 256
# More channels have filters beyond any cache: with fewer tiles they would be read too often.
_FEWEST_AT_ONCE = 152
# With fewer oneDNN wants the filters in another order, and the direct sum is as fast.
_FEWEST_TILES = 64
# Of a map's tiles: to gather more costs as much as to do all.
_LARGEST_SHARE = 0.8
# The transforms cost by the channel, the products by its square.
FEWEST_CHANNELS = 128
# Wider ones have small maps, and transformed filters take four times the memory.
_MOST_CHANNEL_PAIRS = 200_000


def pays_off(conv: nn.Conv2d) -> bool:
    """Whether a convolution is of a kind and width that gain."""
    return (
        tuple(conv.kernel_size) == (3, 3)
        and conv.padding_mode == "zeros"
        and {*conv.stride, *conv.dilation, *conv.padding, conv.groups} == {1}
        and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
        and conv.in_channels * conv.out_channels <= _MOST_CHANNEL_PAIRS
    )


class WinogradConv2d(Conv2d):
    """A `Conv2d` for inference: by tiles of 4 x 4 where maps have enough, directly elsewhere."""

    _dtype: torch.dtype
    _product: Product

    def transform(self, dtype: torch.dtype) -> None:
        """Bring the filters into the domain of the tiles; products are taken in `dtype`."""
        bias = None if self.bias is None else _transformed_bias(self.bias.detach(), dtype)
        filters = _transformed_filters(self.weight.detach(), dtype)
        self._dtype = dtype
        self._product = grouped_product(filters, bias, self._tiles_at_once)

    @property
    def _tiles_at_once(self) -> int:
        fitting = _VALUES_AT_ONCE // max(self.in_channels, self.out_channels)
        return max(fitting, _FEWEST_AT_ONCE)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        count, _, height, width = input.shape
        down, across = tiles_of(height, width)
        if count * down * across < _FEWEST_TILES:
            direct: Tensor = super()._conv_forward(input, weight, bias)
            return direct
        x = self._input(input)
        result = x.new_empty((count, height, width, self.out_channels))
        most = self._tiles_at_once
        for images, reads, writes, window in portions(count, height, width, most=most):
            result[images, writes] = self._convolve(x[images, reads], window)
        return result.permute(0, 3, 1, 2)

    def near(self, x: Tensor, cells: Tensor) -> Tensor:
        """`self(x)` at some cells at least, 0 where it was left out: (N, H, W) bool."""
        tiles = F.max_pool2d(cells[:, None].float(), TILE, ceil_mode=True)[:, 0] > 0
        share = float(tiles.float().mean())
        if not _FEWEST_TILES <= share * tiles.numel() <= _LARGEST_SHARE * tiles.numel():
            whole: Tensor = self(x)
            return whole
        count, down, across = tiles.shape
        padded = with_margins(self._input(x))
        image, row, column, _ = padded.stride()
        inputs = padded.as_strided(
            (count, down, across, SIDE, SIDE, padded.shape[3]),
            (image, TILE * row, TILE * column, row, column, 1),
        )
        result = padded.new_zeros((count, down, TILE, across, TILE, self.out_channels))
        outputs = result.transpose(2, 3)
        places = tiles.nonzero()
        for part in shares(len(places), self._tiles_at_once):
            place = places[part].unbind(1)
            window = Window(len(place[0]), (SIDE, SIDE), (0, 0), (1, 1), (TILE, TILE))
            outputs[place] = self._convolve(inputs[place], window)
        result = result.view(count, down * TILE, across * TILE, -1)
        return result[:, : x.shape[2], : x.shape[3]].permute(0, 3, 1, 2)

    def _input(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, H, W, C) in one piece."""
        return x.to(self._dtype).permute(0, 2, 3, 1).contiguous()

    def _convolve(self, x: Tensor, window: Window) -> Tensor:
        """What the window reads, (n, h, w, C) -> what it writes, (n, h', w', O)."""
        values = reading(window)(x.reshape(-1, x.shape[3]))
        values = self._product(values.view(-1, PRODUCTS * x.shape[3]))
        values = writing(window)(values.view(-1, self.out_channels))
        return values.view(window.count, *window.result, -1)


def _transformed_bias(bias: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to the products for their tiles to grow by the bias: (O,) -> (36 O,)."""
    line = torch.tensor(OUTPUT, dtype=torch.float64).pinverse().sum(dim=1)
    return torch.outer(torch.outer(line, line).flatten(), bias).flatten().to(dtype)


def _transformed_filters(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """(O, C, 3, 3) -> (36, O, C)."""
    transform = of_tile(FILTER)
    result = weight.new_empty((PRODUCTS, *weight.shape[:2]), dtype=dtype)
    # A few at a time: all in double precision would be the largest thing a model ever holds.
    for place, part in zip(torch.split(result, 32, 1), torch.split(weight, 32), strict=True):
        taps = part.permute(2, 3, 0, 1).reshape(9, -1).double()
        place.copy_((transform @ taps).view_as(place))
    return result
