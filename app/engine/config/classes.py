"""Where a config says which classes its model tells apart."""

from collections.abc import Sequence

from app.engine.config.declared import ARCHITECTURES
from app.engine.config.node import CfgNode

CLASS_SECTIONS = tuple(
    dict.fromkeys(a.classes.removeprefix("MODEL.") for a in ARCHITECTURES.values())
)
"""Sections of MODEL with NUM_CLASSES, SCORE_THRESH_TEST and NMS_THRESH_TEST."""

NAMES = ("CLASS_NAMES", "CATEGORY_IDS", "KEYPOINT_NAMES", "STUFF_NAMES", "STUFF_IDS")
"""Keys of MODEL that say what its outputs are called, and change nothing of what it computes."""


def class_section(cfg: CfgNode) -> str:
    """The one that counts for the model's architecture."""
    return ARCHITECTURES[cfg.MODEL.META_ARCHITECTURE].classes.removeprefix("MODEL.")


def results(cfg: CfgNode) -> tuple[str, ...]:
    """What the model finds, in the words of evaluations: bbox, sem_seg, ...; see `Architecture`."""
    return ARCHITECTURES[cfg.MODEL.META_ARCHITECTURE].results


def num_classes(cfg: CfgNode) -> int:
    """K of the model that `cfg` describes."""
    return int(cfg.MODEL[class_section(cfg)].NUM_CLASSES)


def set_classes(cfg: CfgNode, class_names: Sequence[str]) -> None:
    """Make it a model of these, whatever its architecture."""
    cfg.MODEL.CLASS_NAMES = list(class_names)
    cfg.MODEL.CATEGORY_IDS = []
    for section in CLASS_SECTIONS:
        cfg.MODEL[section].NUM_CLASSES = len(class_names)
