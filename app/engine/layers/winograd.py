"""3x3 convolutions by Winograd's minimal filtering (arXiv:1509.09308): a quarter of the products.

Tiles of 6 x 6 inputs become tiles of 4 x 4 outputs: both are transformed to a domain in which the
convolution is 36 matrix products over the channels. In float32 the result is off by about four
times the rounding of the direct sum; in bfloat16 it would be useless.

N, C, H, W: batch, channels, height, width; O: output channels; T: tiles in work at once
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.layers.packed import NONE, RELU, Activation, PackedConv2d, can_pack

TILE = 4
_SIDE = TILE + 2

# For the points 0, 1, -1, 2, -2 and infinity.
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))

# Tiles at once: their transforms stay in cache, the matrix products are still large.
_TILES_AT_ONCE = 152
# With fewer the direct sum is as fast.
_FEWEST_TILES = 100
_FEWEST_CHANNELS = 128
# The transformed filters take four times the memory, and such wide layers have small maps.
_MOST_PRODUCTS = 200_000


def pays_off(conv: nn.Conv2d, dtype: torch.dtype) -> bool:
    """Whether a convolution is of a kind and width that gain, in a precision that allows it."""
    return (
        dtype == torch.float32
        and can_pack(conv, dtype)
        and tuple(conv.kernel_size) == (3, 3)
        and {*conv.stride, *conv.dilation, *map(int, conv.padding), conv.groups} == {1}
        and min(conv.in_channels, conv.out_channels) >= _FEWEST_CHANNELS
        and conv.in_channels * conv.out_channels <= _MOST_PRODUCTS
    )


class WinogradConv2d(PackedConv2d):
    """A 3x3 convolution by tiles of 4 x 4 where the map has enough of them, directly elsewhere."""

    def __init__(
        self, conv: nn.Conv2d, *, dtype: torch.dtype, activation: Activation = NONE
    ) -> None:
        super().__init__(conv, dtype=dtype, activation=activation)
        assert pays_off(conv, dtype)
        # One group of channels for each of the 36 products: oneDNN runs them in one call.
        self._products = _SIDE * _SIDE
        self._filters = torch.ops.mkldnn._reorder_convolution_weight(
            _transformed_filters(conv.weight.detach())[:, :, None, None],
            [0, 0],
            [1, 1],
            [1, 1],
            self._products,
            [1, self._products * conv.in_channels, 1, _TILES_AT_ONCE],
        )
        self._input_transform = _twice(_INPUT)
        self._output_transform = _twice(_OUTPUT)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H, W) in channels-last memory."""
        count, _, height, width = x.shape
        down, across = -(-height // TILE), -(-width // TILE)
        if count * down * across < _FEWEST_TILES or self.activation not in (NONE, RELU):
            return super().forward(x)
        x = self._input(x).permute(0, 2, 3, 1)
        result = x.new_empty((count, height, width, self.out_channels), dtype=self.dtype)
        for images, rows in _portions(count, down, across):
            part = self._convolve(_tiles(x[images], rows, across))
            target = result[images, rows.start * TILE : rows.stop * TILE]
            part = part[:, : target.shape[1], :width]
            if self._bias is None:
                target.copy_(part)
            else:
                torch.add(part, self._bias, out=target)
            if self.activation is RELU:
                target.relu_()
        return result.permute(0, 3, 1, 2)

    def _convolve(self, tiles: Tensor) -> Tensor:
        """(n, h, w, 6, 6, C) -> (n, 4 h, 4 w, O), without bias."""
        count, down, across, _, _, channels = tiles.shape
        values = tiles.reshape(-1, self._products, channels)
        values = torch.matmul(self._input_transform, values)
        values = torch.ops.mkldnn._convolution_pointwise(
            values.view(1, 1, len(values), -1).permute(0, 3, 1, 2),
            self._filters,
            None,
            [0, 0],
            [1, 1],
            [1, 1],
            self._products,
            "none",
            [],
            "",
        )
        values = values.permute(0, 2, 3, 1).reshape(-1, self._products, self.out_channels)
        values = torch.matmul(self._output_transform, values)
        values = values.view(count, down, across, TILE, TILE, -1).permute(0, 1, 3, 2, 4, 5)
        return values.reshape(count, down * TILE, across * TILE, -1)


def _tiles(maps: Tensor, rows: slice, across: int) -> Tensor:
    """Overlapping inputs of some rows of tiles, zeros beyond the edges: (n, h, w, 6, 6, C) view.

    maps  (n, H, W, C)
    """
    _, height, width, channels = maps.shape
    first, last = rows.start * TILE - 1, rows.stop * TILE + 1
    inside = maps[:, max(first, 0) : last]
    margins = (0, 0, 1, across * TILE - width + 1, max(-first, 0), max(last - height, 0))
    padded = F.pad(inside, margins)
    image, row, column, _ = padded.stride()
    return padded.as_strided(
        (len(maps), rows.stop - rows.start, across, _SIDE, _SIDE, channels),
        (image, TILE * row, TILE * column, row, column, 1),
    )


def _transformed_filters(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) -> (36 O, C)."""
    line = torch.tensor(_FILTER, dtype=torch.float64)
    result = weight.new_empty((_SIDE * _SIDE, *weight.shape[:2]))
    # One by one: all of them in double precision would be the largest thing a model ever holds.
    for i in range(_SIDE):
        for j in range(_SIDE):
            taps = torch.outer(line[i], line[j])
            result[_SIDE * i + j] = (weight * taps).sum(dim=(2, 3))
    return result.flatten(0, 1)


def _twice(matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """The transform of a tile from that of a line."""
    line = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(line, line).float().contiguous()


def _portions(count: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Images and rows of tiles, about `_TILES_AT_ONCE` tiles each."""
    of_image = down * across
    if of_image <= _TILES_AT_ONCE:
        step = max(1, _TILES_AT_ONCE // of_image)
        for i in range(0, count, step):
            yield slice(i, min(i + step, count)), slice(0, down)
        return
    step = max(1, _TILES_AT_ONCE // across)
    for i in range(count):
        for row in range(0, down, step):
            yield slice(i, i + 1), slice(row, min(row + step, down))
