"""3x3 convolutions by Winograd's minimal filtering: a quarter of the multiplications.

N, C, H, W: batch, channels, height, width; O: output channels
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

# Tiles processed at once, times channels: the data of a core stays in its cache, and the matrix
# products are still large.
_VALUES_AT_ONCE = 152 * 256
# Smallest number of tiles at once: weights of many channels exceed the cache, so read them rarely.
_FEWEST_AT_ONCE = 152
# With fewer tiles oneDNN needs another weight layout, and direct convolution is as fast.
_FEWEST_TILES = 64
# Share of a map's tiles: to gather more is as slow as to compute all tiles.
_LARGEST_SHARE = 0.8
# The transforms grow with the channels, the products with their square: few do not pay off.
FEWEST_CHANNELS = 64
# Wider layers have small maps, and transformed weights take four times the memory.
_MOST_CHANNEL_PAIRS = 200_000


def pays_off(conv: nn.Conv2d) -> bool:
    """Whether a convolution is faster by the Winograd algorithm."""
    return (
        tuple(conv.kernel_size) == (3, 3)
        and conv.padding_mode == "zeros"
        and {*conv.stride, *conv.dilation, *conv.padding, conv.groups} == {1}
        and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
        and conv.in_channels * conv.out_channels <= _MOST_CHANNEL_PAIRS
    )


class WinogradConv2d(Conv2d):
    """A `Conv2d` for inference: by tiles of 4 x 4 if the maps have enough, else directly."""

    _dtype: torch.dtype
    _product: Product

    def transform(self, dtype: torch.dtype) -> None:
        """Transform the weights into the Winograd domain; products are computed in `dtype`."""
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
        """Compute `self(x)` at least in tiles of `cells` (N, H, W) bool; skipped tiles are 0."""
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
        """(N, C, H, W) -> contiguous (N, H, W, C) in the dtype of the products."""
        return x.to(self._dtype).permute(0, 2, 3, 1).contiguous()

    def _convolve(self, x: Tensor, window: Window) -> Tensor:
        """Input of the window (n, h, w, C) -> output of the window (n, h', w', O)."""
        values = reading(window)(x.reshape(-1, x.shape[3]))
        values = self._product(values.view(-1, PRODUCTS * x.shape[3]))
        values = writing(window)(values.view(-1, self.out_channels))
        return values.view(window.count, *window.result, -1)


def _transformed_bias(bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Transform the bias so that it can be added to the products: (O,) -> (36 O,)."""
    line = torch.tensor(OUTPUT, dtype=torch.float64).pinverse().sum(dim=1)
    return torch.outer(torch.outer(line, line).flatten(), bias).flatten().to(dtype)


def _transformed_filters(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Transform weights (O, C, 3, 3) -> (36, O, C)."""
    transform = of_tile(FILTER)
    result = weight.new_empty((PRODUCTS, *weight.shape[:2]), dtype=dtype)
    # In parts, because all weights in double precision would take too much memory.
    for place, part in zip(torch.split(result, 32, 1), torch.split(weight, 32), strict=True):
        taps = part.permute(2, 3, 0, 1).reshape(9, -1).double()
        place.copy_((transform @ taps).view_as(place))
    return result
