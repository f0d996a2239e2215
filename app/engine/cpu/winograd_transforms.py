"""Transform maps to the values of Winograd's tiles and back: along columns, then along rows.

Each step is a weighted sum of a few rows of channels, computed by `embedding_bag`. In bfloat16 two
separate steps need half the sums of a combined step, and their weights are exact. In float32 the
values between the steps take twice the memory, and a combined step is faster.

n, h, w, C: maps, height, width, channels
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from app.engine.cpu.winograd_tiles import INPUT, OUTPUT, PRODUCTS, SIDE, TILE, Matrix
from app.engine.cpu.winograd_windows import Window


class Transform:
    """A step along the columns and a step along the rows."""

    def __init__(self, steps: Callable[[], tuple["_Step", "_Step"]]) -> None:
        self._steps = steps
        self._bags: dict[bool, list[_Bags]] = {}  # key: whether the steps are combined

    def __call__(self, table: Tensor) -> Tensor:
        """(rows, C) -> (rows, C)."""
        at_once = table.dtype == torch.float32
        if at_once not in self._bags:
            down, across = self._steps()
            self._bags[at_once] = [
                step.bags() for step in ([down.then(across)] if at_once else [down, across])
            ]
        for bags in self._bags[at_once]:
            table = bags.sums(table)
        return table


@dataclass(frozen=True, slots=True)
class _Step:
    """Weighted sums of rows of a table; each sum has k rows.

    rows     (sums, k) int32
    weights  (sums, k) float32; 0 for rows that are skipped
    """

    rows: Tensor
    weights: Tensor

    @classmethod
    def of(cls, matrix: Matrix, kinds: Tensor, rows: Tensor, exists: Tensor) -> "_Step":
        """Sum i is the sum of `matrix[kinds[i], k]` * row `rows[i, k]` over the k that exist."""
        weights = torch.tensor(matrix, dtype=torch.float32)[kinds] * exists
        return cls((rows * exists).int(), weights)

    def then(self, last: "_Step") -> "_Step":
        """Combine this step and the step `last` into one."""
        weights = last.weights[:, :, None] * self.weights[last.rows]
        return _Step(self.rows[last.rows].flatten(1), weights.flatten(1))

    def bags(self) -> "_Bags":
        """Return the sums without the skipped rows."""
        taken = self.weights != 0
        counts = taken.sum(dim=1)
        starts = (counts.cumsum(0) - counts).int()
        return _Bags(self.rows[taken], self.weights[taken], starts)


@dataclass(frozen=True, slots=True)
class _Bags:
    """Weighted sums of rows of a table.

    rows     int32, the rows of all bags one after the other
    weights  float32, one for each of `rows`
    starts   int32, index of the first row of each bag
    """

    rows: Tensor
    weights: Tensor
    starts: Tensor

    def sums(self, table: Tensor) -> Tensor:
        """(rows, C) -> (bags, C)."""
        weights = self.weights.to(table.dtype)
        return F.embedding_bag(
            self.rows, table, self.starts, mode="sum", per_sample_weights=weights
        )


@lru_cache(maxsize=64)
def reading(window: Window, *, by_product: bool = False) -> Transform:
    """Transform cells, in row-major order, to the 36 values of each tile.

    The order of values is (tile, value), or (value, tile) if `by_product`.
    """
    return Transform(partial(_reading_steps, window, by_product))


def _reading_steps(window: Window, by_product: bool) -> tuple[_Step, _Step]:
    return _gathering_steps(window, INPUT, window.size, window.margin, by_product)


@lru_cache(maxsize=64)
def writing(window: Window, *, by_product: bool = False) -> Transform:
    """Transform the 36 values of each tile, ordered like `reading`, to cells in row-major order."""
    return Transform(partial(_writing_steps, window, by_product))


def _writing_steps(window: Window, by_product: bool) -> tuple[_Step, _Step]:
    (down, across), (height, width) = window.tiles, window.result
    places, always = torch.arange(SIDE), torch.ones((), dtype=torch.bool)
    image, row, tile, place = _grid(window.count, height, across, SIDE)
    tile = (image * down + row // TILE) * across + tile
    tile_step, step = (1, window.count * down * across) if by_product else (PRODUCTS, 1)
    values = tile_step * tile + step * place
    first = _Step.of(OUTPUT, row % TILE, values[:, None] + step * SIDE * places, always)
    row, column = _grid(window.count * height, width)
    values = (row * across + column // TILE) * SIDE
    return first, _Step.of(OUTPUT, column % TILE, values[:, None] + places, always)


@lru_cache(maxsize=64)
def spreading(window: Window) -> Transform:
    """The transpose of `writing`, for gradients: from cells to the 36 values of each tile.

    The order of values is (value, tile).
    """
    return Transform(partial(_spreading_steps, window))


def _spreading_steps(window: Window) -> tuple[_Step, _Step]:
    matrix = tuple(zip(*OUTPUT, strict=True))
    return _gathering_steps(window, matrix, window.result, (0, 0), by_product=True)


def _gathering_steps(
    window: Window, matrix: Matrix, size: tuple[int, int], margin: tuple[int, int], by_product: bool
) -> tuple[_Step, _Step]:
    """Steps from cells of maps of `size` to the tiles, which begin `margin` cells before a map."""
    (height, width), places = size, torch.arange(len(matrix[0]))
    image, tile, kind, column = _grid(window.count, window.tiles[0], SIDE, width)
    row = (TILE * tile - margin[0])[:, None] + places
    cells = (image[:, None] * height + row) * width + column[:, None]
    first = _Step.of(matrix, kind, cells, (row >= 0) & (row < height))
    line, tile, place, kind = _grid_of_values(window, by_product)
    columns = (TILE * tile - margin[1])[:, None] + places
    cells = (line * SIDE + place)[:, None] * width + columns
    return first, _Step.of(matrix, kind, cells, (columns >= 0) & (columns < width))


def _grid_of_values(window: Window, by_product: bool) -> tuple[Tensor, ...]:
    """For each value: its line of tiles, its tile in the line, its row and column in the tile."""
    lines, tiles = window.count * window.tiles[0], window.tiles[1]
    if by_product:
        place, kind, line, tile = _grid(SIDE, SIDE, lines, tiles)
        return line, tile, place, kind
    return _grid(lines, tiles, SIDE, SIDE)


def _grid(*sizes: int) -> tuple[Tensor, ...]:
    """Return the coordinates of all cells of an array, in row-major order."""
    axes = torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")
    return tuple(axis.flatten() for axis in axes)
