"""3x3 convolutions by Winograd's minimal filtering (arXiv:1509.09308): a quarter of the products.

Tiles of 6 x 6 inputs become tiles of 4 x 4 outputs: both are transformed to a domain in which the
convolution is 36 matrix products over the channels. The transforms are sums of a few rows of
channels each, in float32: what a bag of embeddings is.

The points of the transforms are 0, 5/8, -5/8, 3/2, -3/2 and infinity: the result is off by about
twice the rounding of the direct sum in float32, by five times in bfloat16, in which the usual
1 and 2 would be off by eleven times.

N, C, H, W: batch, channels, height, width; O: output channels; T: tiles in work at once
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.layers.packed import NONE, RELU, Activation, PackedConv2d, can_pack

TILE = 4
_SIDE = TILE + 2
_PRODUCTS = _SIDE * _SIDE

_A, _B = 5 / 8, 3 / 2
_AA, _BB = _A * _A, _B * _B
_INPUT = (
    (_AA * _BB, 0, -_AA - _BB, 0, 1, 0),
    (0, -_A * _BB, -_BB, _A, 1, 0),
    (0, _A * _BB, -_BB, -_A, 1, 0),
    (0, -_B * _AA, -_AA, _B, 1, 0),
    (0, _B * _AA, -_AA, -_B, 1, 0),
    (0, _AA * _BB, 0, -_AA - _BB, 0, 1),
)
_FILTER = (
    (1 / (_AA * _BB), 0, 0),
    *((1 / f, p / f, p * p / f) for p in (_A, -_A) for f in (2 * _AA * (_AA - _BB),)),
    *((1 / f, p / f, p * p / f) for p in (_B, -_B) for f in (2 * _BB * (_BB - _AA),)),
    (0, 0, 1),
)
_OUTPUT = (
    (1, 1, 1, 1, 1, 0),
    (0, _A, -_A, _B, -_B, 0),
    (0, _AA, _AA, _BB, _BB, 0),
    (0, _A * _AA, -_A * _AA, _B * _BB, -_B * _BB, 1),
)

# Tiles at once: what a core works on stays in its cache, the matrix products are still large.
_TILES_AT_ONCE = 152
# With fewer oneDNN wants the filters in another order, and the direct sum is as fast.
_FEWEST_TILES = 64
# Of a map's tiles: to gather more costs as much as to do all.
_LARGEST_SHARE = 0.8
# The transforms cost by the channel, the products by its square.
FEWEST_CHANNELS = {torch.float32: 128, torch.bfloat16: 192}
# The transformed filters take four times the memory, and such wide layers have small maps.
_MOST_PRODUCTS = 200_000


def pays_off(conv: nn.Conv2d, dtype: torch.dtype) -> bool:
    """Whether a convolution is of a kind and width that gain."""
    return (
        can_pack(conv, dtype)
        and tuple(conv.kernel_size) == (3, 3)
        and {*conv.stride, *conv.dilation, *map(int, conv.padding), conv.groups} == {1}
        and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS[dtype]
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
        self._filters = torch.ops.mkldnn._reorder_convolution_weight(
            _transformed_filters(conv.weight.detach(), dtype)[:, :, None, None],
            [0, 0],
            [1, 1],
            [1, 1],
            _PRODUCTS,
            [1, _PRODUCTS * conv.in_channels, 1, _TILES_AT_ONCE],
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H, W) in channels-last memory."""
        count, _, height, width = x.shape
        down, across = -(-height // TILE), -(-width // TILE)
        if count * down * across < _FEWEST_TILES or self.activation not in (NONE, RELU):
            return super().forward(x)
        x = self._input(x).permute(0, 2, 3, 1)
        result = x.new_empty((count, height, width, self.out_channels))
        for images, rows in _portions(count, down, across):
            part = self._convolve(_with_margins(x[images], rows, across))
            target = result[images, rows.start * TILE : rows.stop * TILE]
            target.copy_(part[:, : target.shape[1], :width])
        return result.permute(0, 3, 1, 2)

    def near(self, x: Tensor, cells: Tensor) -> Tensor:
        """`self(x)` at some cells at least, 0 where it was left out: (N, H, W) bool."""
        tiles = F.max_pool2d(cells[:, None].float(), TILE, ceil_mode=True)[:, 0] > 0
        share = float(tiles.float().mean())
        is_few = share * tiles.numel() >= _FEWEST_TILES and share <= _LARGEST_SHARE
        if not is_few or self.activation not in (NONE, RELU):
            return self.forward(x)
        count, down, across = tiles.shape
        padded = _with_margins(self._input(x).permute(0, 2, 3, 1), slice(0, down), across)
        image, row, column, _ = padded.stride()
        inputs = padded.as_strided(
            (count, down, across, _SIDE, _SIDE, padded.shape[3]),
            (image, TILE * row, TILE * column, row, column, 1),
        )
        result = x.new_zeros((count, down, TILE, across, TILE, self.out_channels))
        outputs = result.transpose(2, 3)
        places = tiles.nonzero()
        for part in _shares(len(places), _TILES_AT_ONCE):
            place = places[part].unbind(1)
            outputs[place] = self._convolve(inputs[place]).to(x.dtype)
        result = result.view(count, down * TILE, across * TILE, -1)
        return result[:, : x.shape[2], : x.shape[3]].permute(0, 3, 1, 2)

    def _convolve(self, x: Tensor) -> Tensor:
        """(n, 4 h + 2, 4 w + 2, C) -> (n, 4 h, 4 w, O) in float32."""
        count, height, width, channels = x.shape
        shape = (count, height // TILE, width // TILE)
        values = _reading(*shape).sums(x.view(-1, channels).float()).to(self.dtype)
        values = torch.ops.mkldnn._convolution_pointwise(
            values.view(1, 1, -1, _PRODUCTS * channels).permute(0, 3, 1, 2),
            self._filters,
            None,
            [0, 0],
            [1, 1],
            [1, 1],
            _PRODUCTS,
            "none",
            [],
            "",
        )
        values = values.permute(0, 2, 3, 1).reshape(-1, self.out_channels).float()
        values = _writing(*shape).sums(values)
        if self._bias is not None:
            values += self._bias
        if self.activation is RELU:
            values.relu_()
        return values.view(count, height - 2, width - 2, -1)


@dataclass(frozen=True, slots=True)
class _Bags:
    """Weighted sums of rows of a table.

    rows     int32, of all bags one after the other
    weights  float32, as many
    starts   int32, where each bag begins
    """

    rows: Tensor
    weights: Tensor
    starts: Tensor

    @classmethod
    def of(cls, matrix: Tensor, kinds: Tensor, first: Tensor, places: Tensor) -> "_Bags":
        """Bag i sums `matrix[kinds[i], k]` times row `first[i] + places[k]` over k."""
        taken = (matrix != 0)[kinds]
        counts = taken.sum(dim=1)
        return cls(
            (first[:, None] + places)[taken].int(),
            matrix[kinds][taken].float(),
            (counts.cumsum(0) - counts).int(),
        )

    def sums(self, table: Tensor) -> Tensor:
        """(rows, C) -> (bags, C)."""
        return F.embedding_bag(
            self.rows, table, self.starts, mode="sum", per_sample_weights=self.weights
        )


@lru_cache(maxsize=32)
def _reading(count: int, down: int, across: int) -> _Bags:
    """From the cells of maps with margins to the 36 values of each tile, tile by tile."""
    height, width = down * TILE + 2, across * TILE + 2
    side, cell = torch.arange(_SIDE), torch.arange(count * height * width)
    corners = cell.view(count, height, width)[:, :-2:TILE, :-2:TILE].flatten()
    kinds = torch.arange(_PRODUCTS).repeat(len(corners))
    places = (side[:, None] * width + side).flatten()
    return _Bags.of(_twice(_INPUT), kinds, corners.repeat_interleave(_PRODUCTS), places)


@lru_cache(maxsize=32)
def _writing(count: int, down: int, across: int) -> _Bags:
    """From the 36 values of each tile to cells of maps, row by row."""
    tiles = torch.arange(count * down * across).view(count, down, 1, across, 1)
    kinds = torch.arange(TILE * TILE).view(TILE, 1, TILE)
    shape = (count, down, TILE, across, TILE)
    return _Bags.of(
        _twice(_OUTPUT),
        kinds.expand(shape).flatten(),
        (tiles * _PRODUCTS).expand(shape).flatten(),
        torch.arange(_PRODUCTS),
    )


def _with_margins(maps: Tensor, rows: slice, across: int) -> Tensor:
    """The inputs of some rows of tiles: a cell more on all sides, zeros beyond the edges.

    maps  (n, H, W, C)
    """
    _, height, width, _ = maps.shape
    first, last = rows.start * TILE - 1, rows.stop * TILE + 1
    margins = (0, 0, 1, across * TILE - width + 1, max(-first, 0), max(last - height, 0))
    return F.pad(maps[:, max(first, 0) : last], margins)


def _transformed_filters(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """(O, C, 3, 3) -> (36 O, C)."""
    line = torch.tensor(_FILTER, dtype=torch.float64)
    result = weight.new_empty((_PRODUCTS, *weight.shape[:2]), dtype=dtype)
    # One by one: all of them in double precision would be the largest thing a model ever holds.
    for i in range(_SIDE):
        for j in range(_SIDE):
            taps = torch.outer(line[i], line[j])
            result[_SIDE * i + j] = (weight * taps).sum(dim=(2, 3))
    return result.flatten(0, 1)


def _twice(matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """The transform of a tile from that of a line."""
    line = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(line, line)


def _portions(count: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Images and rows of tiles, at most about `_TILES_AT_ONCE` tiles each."""
    of_image = down * across
    if of_image <= _TILES_AT_ONCE:
        for images in _shares(count, _TILES_AT_ONCE // of_image):
            yield images, slice(0, down)
        return
    for i in range(count):
        for rows in _shares(down, max(1, _TILES_AT_ONCE // across)):
            yield slice(i, i + 1), rows


def _shares(length: int, most: int) -> Iterator[slice]:
    """Equal parts of `range(length)`, or nearly: filters would be reordered for a small rest."""
    number = -(-length // most)
    for i in range(number):
        yield slice(length * i // number, length * (i + 1) // number)
