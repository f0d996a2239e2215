"""3x3 convolutions by Winograd's minimal filtering: a quarter of the products.

N, C, H, W: batch, channels, height, width; O: output channels; T: tiles in work at once
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.layers.packed import NONE, RELU, Activation, PackedConv2d, can_pack
from app.engine.layers.winograd_tiles import (
    FILTER,
    OUTPUT,
    PRODUCTS,
    SIDE,
    TILE,
    of_tile,
    portions,
    shares,
    tiles_of,
    with_margins,
)
from app.engine.layers.winograd_transforms import Window, reading, window_of, writing

# Tiles at once: what a core works on stays in its cache, the matrix products are still large.
_TILES_AT_ONCE = 152
# With fewer oneDNN wants the filters in another order, and the direct sum is as fast.
_FEWEST_TILES = 64
# Of a map's tiles: to gather more costs as much as to do all.
_LARGEST_SHARE = 0.8
# The transforms cost by the channel, the products by its square.
FEWEST_CHANNELS = 64
# Wider layers have maps of fewer tiles, for which oneDNN would reorder filters at every call: 512
# channels of a ResNet-50 at 800 pixels made the whole model 1.5 times slower.
_MOST_PRODUCTS = 200_000


def pays_off(conv: nn.Conv2d, dtype: torch.dtype) -> bool:
    """Whether a convolution is of a kind and width that gain."""
    return (
        can_pack(conv, dtype)
        and tuple(conv.kernel_size) == (3, 3)
        and {*conv.stride, *conv.dilation, *map(int, conv.padding), conv.groups} == {1}
        and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
        and conv.in_channels * conv.out_channels <= _MOST_PRODUCTS
    )


class WinogradConv2d(PackedConv2d):
    """A 3x3 convolution by tiles of 4 x 4 where the map has enough of them, directly elsewhere."""

    def __init__(
        self, conv: nn.Conv2d, *, dtype: torch.dtype, activation: Activation = NONE
    ) -> None:
        super().__init__(conv, dtype=dtype, activation=activation)
        assert pays_off(conv, dtype)
        bias = conv.bias
        self._products_bias = None if bias is None else _transformed_bias(bias.detach(), dtype)
        # One group of channels for each of the 36 products: oneDNN runs them in one call.
        self._filters = torch.ops.mkldnn._reorder_convolution_weight(
            _transformed_filters(conv.weight.detach(), dtype)[:, :, None, None],
            [0, 0],
            [1, 1],
            [1, 1],
            PRODUCTS,
            [1, PRODUCTS * conv.in_channels, 1, _TILES_AT_ONCE],
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H, W) in channels-last memory."""
        count, _, height, width = x.shape
        down, across = tiles_of(height, width)
        if count * down * across < _FEWEST_TILES or self.activation not in (NONE, RELU):
            return super().forward(x)
        x = self._input(x).permute(0, 2, 3, 1)
        result = x.new_empty((count, height, width, self.out_channels))
        for images, rows in portions(count, down, across, most=_TILES_AT_ONCE):
            part = self._convolve(*window_of(x[images], rows))
            result[images, rows.start * TILE : rows.stop * TILE] = part
        return result.permute(0, 3, 1, 2)

    def near(self, x: Tensor, cells: Tensor) -> Tensor:
        """`self(x)` at some cells at least, 0 where it was left out: (N, H, W) bool."""
        tiles = F.max_pool2d(cells[:, None].float(), TILE, ceil_mode=True)[:, 0] > 0
        share = float(tiles.float().mean())
        is_few = share * tiles.numel() >= _FEWEST_TILES and share <= _LARGEST_SHARE
        if not is_few or self.activation not in (NONE, RELU):
            return self.forward(x)
        count, down, across = tiles.shape
        padded = with_margins(self._input(x).permute(0, 2, 3, 1), slice(0, down), across)
        image, row, column, _ = padded.stride()
        inputs = padded.as_strided(
            (count, down, across, SIDE, SIDE, padded.shape[3]),
            (image, TILE * row, TILE * column, row, column, 1),
        )
        result = padded.new_zeros((count, down, TILE, across, TILE, self.out_channels))
        outputs = result.transpose(2, 3)
        places = tiles.nonzero()
        for part in shares(len(places), _TILES_AT_ONCE):
            place = places[part].unbind(1)
            window = Window(len(place[0]), (SIDE, SIDE), (0, 0), (1, 1), (TILE, TILE))
            outputs[place] = self._convolve(inputs[place], window)
        result = result.view(count, down * TILE, across * TILE, -1)
        return result[:, : x.shape[2], : x.shape[3]].permute(0, 3, 1, 2)

    def _convolve(self, x: Tensor, window: Window) -> Tensor:
        """What the window reads, (n, h, w, C) -> what it writes, (n, h', w', O)."""
        channels = x.shape[3]
        values = reading(window)(x.reshape(-1, channels))
        values = torch.ops.mkldnn._convolution_pointwise(
            values.view(1, 1, -1, PRODUCTS * channels).permute(0, 3, 1, 2),
            self._filters,
            self._products_bias,
            [0, 0],
            [1, 1],
            [1, 1],
            PRODUCTS,
            "none",
            [],
            "",
        )
        values = writing(window)(values.permute(0, 2, 3, 1).reshape(-1, self.out_channels))
        if self.activation is RELU:
            values.relu_()
        return values.view(window.count, *window.result, -1)


def _transformed_bias(bias: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to the products for their tiles to grow by the bias: (O,) -> (36 O,)."""
    line = torch.tensor(OUTPUT, dtype=torch.float64).pinverse().sum(dim=1)
    return torch.outer(torch.outer(line, line).flatten(), bias).flatten().to(dtype)


def _transformed_filters(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """(O, C, 3, 3) -> (36 O, C)."""
    transform = of_tile(FILTER)
    result = weight.new_empty((PRODUCTS, *weight.shape[:2]), dtype=dtype)
    # A few at a time: all in double precision would be the largest thing a model ever holds.
    for place, part in zip(torch.split(result, 32, 1), torch.split(weight, 32), strict=True):
        taps = part.permute(2, 3, 0, 1).reshape(9, -1).double()
        place.copy_((transform @ taps).view_as(place))
    return result.flatten(0, 1)
