"""The engine's settings: detectron2's keys, numbers and files, checked and without surprises."""

from collections.abc import Sequence
from pathlib import Path

from app.engine.config.classes import (
    CLASS_SECTIONS,
    NAMES,
    class_section,
    num_classes,
    set_classes,
)
from app.engine.config.defaults import DETECTRON2, OWN
from app.engine.config.node import CfgNode
from app.engine.config.portable import portable
from app.engine.config.support import check_supported

__all__ = [
    "CLASS_SECTIONS",
    "NAMES",
    "CfgNode",
    "check_supported",
    "class_section",
    "get_config",
    "load_config",
    "num_classes",
    "portable",
    "set_classes",
]


def get_config() -> CfgNode:
    """A fresh config with every default."""
    cfg = CfgNode(DETECTRON2).clone()
    _add(CfgNode(OWN).clone(), cfg)
    return cfg


def load_config(
    path: Path | str, overrides: Sequence[str] = (), *, origin: str = "overrides"
) -> CfgNode:
    """The defaults, then a YAML file, then `KEY VALUE ...`; refused where nothing supports it.

    `origin` is where the overrides come from, for the messages.
    """
    cfg = get_config()
    cfg.merge_from_file(path)
    cfg.merge_from_list(overrides, origin=origin)
    check_supported(cfg)
    return cfg


def _add(new: CfgNode, cfg: CfgNode) -> None:
    for key, value in new.items():
        if isinstance(value, CfgNode) and key in cfg:
            _add(value, cfg[key])
        else:
            cfg[key] = value
