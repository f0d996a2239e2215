"""Which sizes and overlaps of tiles make sense; for the settings of a task and for the config."""

from collections.abc import Iterator

MIN_TILE = 32
"""Smallest side in pixels; networks halve a picture five times."""

MAX_OVERLAP_SHARE = 0.75
"""Largest overlap as a share of the side: 16 tiles show each pixel then."""


def tile_faults(size: int, overlap: int) -> Iterator[str]:
    """Yield why a photograph cannot be cut so; 0 stands for no tiles, or for the usual overlap."""
    if 0 < size < MIN_TILE:
        yield f"a size of {size} pixels is too small; give {MIN_TILE} or more, or 0 for no tiles"
    elif size and overlap >= size:
        yield (
            f"an overlap of {overlap} pixels leaves tiles of {size} pixels nothing of their own; "
            f"give at most {int(size * MAX_OVERLAP_SHARE)}"
        )
    elif size and overlap > size * MAX_OVERLAP_SHARE:
        yield (
            f"with an overlap of {overlap} pixels, more than 16 tiles of {size} pixels show each "
            f"place; give at most {int(size * MAX_OVERLAP_SHARE)}, or larger tiles"
        )
