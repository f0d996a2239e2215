"""Tiles: overlapping parts of equal size into which a large photograph is cut.

This module works without torch. H, W: height and width of a photograph in pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from app.engine.structures.size import Size

OVERLAP_SHARE = 0.25
"""Overlap as a share of the tile's side if nobody sets one."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The part x0 <= x < x1, y0 <= y < y1 of a photograph, in whole pixels."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.y1 - self.y0, self.x1 - self.x0


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The rule by which photographs are cut; images with no side above `side` stay whole.

    side         side of a tile; a shorter side of a photograph is not cut
    overlap      least number of pixels that neighbouring tiles share, less than `side`
    whole_image  whether the model also looks at the whole picture, for objects larger than a tile
    """

    side: int
    overlap: int
    whole_image: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.overlap < self.side

    @classmethod
    def of(cls, side: int, overlap: int, *, whole_image: bool = False) -> Self | None:
        """Return the grid of settings in which 0 means none (side) or a quarter (overlap)."""
        if not side:
            return None
        return cls(side, overlap or int(side * OVERLAP_SHARE), whole_image)

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any]) -> Self | None:
        """Return the grid of `INPUT.TILES`; None if the config cuts no photographs."""
        tiles = cfg["INPUT"]["TILES"]
        return cls.of(tiles["SIZE"], tiles["OVERLAP"], whole_image=tiles["WHOLE_IMAGE"])

    def cuts(self, size: Size) -> bool:
        """Whether an image of this size is cut."""
        return max(size) > self.side

    def tiles(self, size: Size) -> list[Tile]:
        """Return the tiles of a photograph, row by row; the last ones are flush with its edges."""
        height, width = (min(self.side, length) for length in size)
        return [
            Tile(x, y, x + width, y + height)
            for y in self._starts(size[0])
            for x in self._starts(size[1])
        ]

    def num_tiles(self, size: Size) -> int:
        """Number of tiles of a photograph; 1 for an image that stays whole."""
        return len(self._starts(size[0])) * len(self._starts(size[1]))

    def num_parts(self, size: Size) -> int:
        """Number of tiles that would cover a photograph without overlap; 1 for a smaller image."""
        return math.ceil(size[0] / self.side) * math.ceil(size[1] / self.side)

    def limit(self, per_image: int, size: Size) -> int:
        """Largest number of detections in a photograph: `per_image` for each of its parts."""
        return per_image * self.num_parts(size)

    def _starts(self, length: int) -> list[int]:
        """Spread the first pixels of the tiles along one axis evenly."""
        room = length - self.side
        if room <= 0:
            return [0]
        gaps = -(-room // (self.side - self.overlap))
        # The next start is at most the rounded-up mean distance away, so the overlap is kept.
        return [room * number // gaps for number in range(gaps + 1)]
