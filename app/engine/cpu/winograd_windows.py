"""Cut maps into portions of tiles.

H, W: height, width
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.engine.cpu.winograd_tiles import TILE, shares, tiles_of


@dataclass(frozen=True, slots=True)
class Window:
    """Maps, or some of their rows, and the tiles on them.

    count   number of maps
    size    rows and columns of each map that are read
    margin  rows and columns of zero padding before these
    tiles   number of tiles of each map, down and across
    result  rows and columns of each map that are written
    """

    count: int
    size: tuple[int, int]
    margin: tuple[int, int]
    tiles: tuple[int, int]
    result: tuple[int, int]


class Portion(NamedTuple):
    """The images of a portion, the rows that are read and written, and the window."""

    images: slice
    reads: slice
    writes: slice
    window: Window


def portions(count: int, height: int, width: int, *, most: int) -> Iterator[Portion]:
    """Yield portions of at most about `most` tiles that cover all maps."""
    down, across = tiles_of(height, width)
    if down * across <= most:
        size, rows = (height, width), slice(0, height)
        for images in shares(count, most // (down * across)):
            window = Window(images.stop - images.start, size, (1, 1), (down, across), size)
            yield Portion(images, rows, rows, window)
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
