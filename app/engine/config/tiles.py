"""The keys of a config that decide into which tiles photographs are cut."""

from app.engine.config.contradictions import tile_contradictions
from app.engine.config.faults import Fault
from app.engine.config.node import CfgNode
from app.engine.errors import ConfigError

_KEYS = ("INPUT.TILES.SIZE", "INPUT.TILES.OVERLAP")


def with_tiles(cfg: CfgNode, size: int, overlap: int) -> CfgNode:
    """Return the config with another side and overlap in pixels; 0 keeps them.

    With a new side the old overlap goes. ConfigError if they contradict each other or the model.
    """
    for fault in tile_faults_of(cfg, size, overlap):
        raise ConfigError(fault.text)
    return cfg.with_values(_values(size, overlap)) if size or overlap else cfg


def tile_faults_of(cfg: CfgNode, size: int, overlap: int) -> list[Fault]:
    """Return why the model of a config cannot work with these tiles."""
    return list(tile_contradictions({**dict(cfg.leaves()), **_values(size, overlap)}))


def _values(size: int, overlap: int) -> dict[str, int]:
    asked = (size, overlap) if size else (None, overlap or None)
    return {key: value for key, value in zip(_KEYS, asked, strict=True) if value is not None}
