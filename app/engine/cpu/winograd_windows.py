"""How maps are cut into portions of tiles, and small ones put side by side to waste fewer.

Between two maps lies one row or column of zeros, the margin of both: three maps of 14 cells take 11
tiles of 4 cells, and 12 apart.

H, W: height, width
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.engine.cpu.winograd_tiles import TILE, shares, tiles_of

# Of maps whose side leaves 0, 1, 2, 3 cells over whole tiles: how many in a row share them best.
_BEST = (1, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Window:
    """Maps, or some of their rows, and the tiles on them.

    count   maps
    size    rows and columns that are read of each
    margin  rows and columns of zeros that the first tile reads before these
    tiles   down and across, of a sheet
    result  rows and columns that are written of each
    sheet   maps down and across that lie side by side; the last sheet may lack some
    """

    count: int
    size: tuple[int, int]
    margin: tuple[int, int]
    tiles: tuple[int, int]
    result: tuple[int, int]
    sheet: tuple[int, int] = (1, 1)

    @property
    def sheets(self) -> int:
        """How many there are."""
        return -(-self.count // (self.sheet[0] * self.sheet[1]))


class Portion(NamedTuple):
    """Which images, which of their rows are read and written, and by which window."""

    images: slice
    reads: slice
    writes: slice
    window: Window


def portions(count: int, height: int, width: int, *, most: int) -> Iterator[Portion]:
    """All of some maps, at most about `most` tiles at once."""
    down, across = tiles_of(height, width)
    if down * across <= most:
        yield from _whole_maps(count, height, width, most)
        return
    for i in range(count):
        for rows in shares(down, max(1, most // across)):
            writes = slice(rows.start * TILE, min(rows.stop * TILE, height))
            reads = slice(max(writes.start - 1, 0), min(rows.stop * TILE + 1, height))
            window = Window(
                1,
                size=(reads.stop - reads.start, width),
                margin=(reads.start - writes.start + 1, 1),
                tiles=(rows.stop - rows.start, across),
                result=(writes.stop - writes.start, width),
            )
            yield Portion(slice(i, i + 1), reads, writes, window)


def _whole_maps(count: int, height: int, width: int, most: int) -> Iterator[Portion]:
    down, across = tiles_of(height, width)
    wide = max(1, min(_BEST[width % TILE], count, most // (down * across)))
    across = _tiles_along(width, wide)
    shared = _BEST[height % TILE] > 1
    fitting = (most // across * TILE + 1) // (height + 1) if shared else most // across // down
    rows = slice(0, height)
    for lines in shares(-(-count // wide), fitting):
        tall = lines.stop - lines.start if shared else 1
        images = slice(lines.start * wide, min(lines.stop * wide, count))
        window = Window(
            images.stop - images.start,
            size=(height, width),
            margin=(1, 1),
            tiles=(_tiles_along(height, tall), across),
            result=(height, width),
            sheet=(tall, wide),
        )
        yield Portion(images, rows, rows, window)


def _tiles_along(side: int, maps: int) -> int:
    return -(-(maps * (side + 1) - 1) // TILE)
