"""3x3 convolutions by Winograd's minimal filtering: a quarter of the products.

N, C, H, W: batch, channels, height, width; O: output channels; T: tiles in work at once
"""

import torch
from torch import Tensor, nn

from app.engine.cpu.packed import NONE, RELU, Activation, PackedConv2d, can_pack
from app.engine.cpu.winograd_tiles import (
    FILTER,
    OUTPUT,
    PRODUCTS,
    of_tile,
    tiles_of,
)
from app.engine.cpu.winograd_transforms import reading, writing
from app.engine.cpu.winograd_windows import Window, portions

# Tiles at once, times channels: what a core works on stays in its cache, the matrix products are
# still large.
_VALUES_AT_ONCE = 152 * 256
# More channels have filters beyond any cache: with fewer tiles they would be read too often.
_FEWEST_AT_ONCE = 152
# With fewer oneDNN wants the filters in another order, and the direct sum is as fast.
_FEWEST_TILES = 64
# The transforms cost by the channel, the products by its square.
FEWEST_CHANNELS = 64
# The transformed filters take four times the memory, and maps this wide have few tiles.
_MOST_CHANNEL_PAIRS = 300_000
# With few tiles oneDNN wants the filters in an order of each number's own, and takes longer to
# reorder them than to convolve.
_MOST_PACKED_CHANNEL_PAIRS = 200_000


def pays_off(conv: nn.Conv2d, dtype: torch.dtype) -> bool:
    """Whether a convolution is of a kind and width that gain."""
    return (
        can_pack(conv, dtype)
        and tuple(conv.kernel_size) == (3, 3)
        and {*conv.stride, *conv.dilation, *map(int, conv.padding), conv.groups} == {1}
        and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
        and conv.in_channels * conv.out_channels <= _MOST_CHANNEL_PAIRS
    )


def is_wide(conv: nn.Conv2d) -> bool:
    """Whether a convolution has so many channels that it gains little for its memory."""
    return conv.in_channels * conv.out_channels > _MOST_PACKED_CHANNEL_PAIRS


def transformed_bytes(conv: nn.Conv2d, dtype: torch.dtype) -> int:
    """What the transformed filters take."""
    return PRODUCTS * conv.in_channels * conv.out_channels * dtype.itemsize


class WinogradConv2d(PackedConv2d):
    """A 3x3 convolution by tiles of 4 x 4 where the map has enough of them, directly elsewhere."""

    def __init__(
        self, conv: nn.Conv2d, *, dtype: torch.dtype, activation: Activation = NONE
    ) -> None:
        super().__init__(conv, dtype=dtype, activation=activation)
        assert pays_off(conv, dtype)
        bias = conv.bias
        self._products_bias = None if bias is None else _transformed_bias(bias.detach(), dtype)
        filters = _transformed_filters(conv.weight.detach(), dtype)
        fitting = _VALUES_AT_ONCE // max(conv.in_channels, conv.out_channels)
        self._tiles_at_once = max(fitting, _FEWEST_AT_ONCE)
        self._is_packed = not is_wide(conv)
        self._filters = _packed(filters, self._tiles_at_once) if self._is_packed else filters
        self._unpacked = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H, W) in channels-last memory."""
        count, _, height, width = x.shape
        down, across = tiles_of(height, width)
        if count * down * across < _FEWEST_TILES or self.activation not in (NONE, RELU):
            return super().forward(x)
        x = self._input(x).permute(0, 2, 3, 1)
        result = x.new_empty((count, height, width, self.out_channels))
        for images, reads, writes, window in portions(
            count, height, width, most=self._tiles_at_once
        ):
            result[images, writes] = self._convolve(x[images, reads], window)
        return result.permute(0, 3, 1, 2)

    def _convolve(self, x: Tensor, window: Window) -> Tensor:
        """What the window reads, (n, h, w, C) -> what it writes, (n, h', w', O)."""
        values = reading(window, by_product=not self._is_packed)(x.reshape(-1, x.shape[3]))
        if self._is_packed:
            values = self._multiply_by_groups(values)
        else:
            values = torch.bmm(values.view(PRODUCTS, -1, x.shape[3]), self._filters.mT)
            if self._products_bias is not None:
                values += self._products_bias.view(PRODUCTS, 1, -1)
        values = values.view(-1, self.out_channels)
        values = writing(window, by_product=not self._is_packed)(values)
        if self.activation is RELU:
            values.relu_()
        return values.view(window.count, *window.result, -1)

    def _multiply_by_groups(self, values: Tensor) -> Tensor:
        """(36 T, C) -> (T, 36 O): one group of channels for each product, all in one call."""
        channels = PRODUCTS * values.shape[1]
        values = torch.ops.mkldnn._convolution_pointwise(
            values.view(1, 1, -1, channels).permute(0, 3, 1, 2),
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
        return values.permute(0, 2, 3, 1)

    def _plain_weight(self) -> Tensor:
        """Found again, to rounding: only small maps need it, and it takes memory."""
        if self._packed:
            return super()._plain_weight()
        filters = self._filters.to_dense() if self._is_packed else self._filters
        filters = filters.reshape(PRODUCTS, -1).float()
        weight = of_tile(FILTER).pinverse().float() @ filters
        weight = weight.view(*self.kernel_size, self.out_channels, -1).permute(2, 3, 0, 1)
        return weight.to(self.dtype).contiguous(memory_format=torch.channels_last)


def _packed(filters: Tensor, tiles: int) -> Tensor:
    """(36, O, C) as oneDNN wants it for as many groups and so many tiles."""
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        filters.flatten(0, 1)[:, :, None, None],
        [0, 0],
        [1, 1],
        [1, 1],
        PRODUCTS,
        [1, PRODUCTS * filters.shape[2], 1, tiles],
    )
    return packed


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
