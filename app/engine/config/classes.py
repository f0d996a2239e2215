"""The keys of a config that define the classes of the model."""

from collections.abc import Sequence

from app.engine.config.declared import ARCHITECTURES
from app.engine.config.node import CfgNode

CLASS_SECTIONS = tuple(
    dict.fromkeys(a.classes.removeprefix("MODEL.") for a in ARCHITECTURES.values())
)
"""Sections of MODEL with NUM_CLASSES, SCORE_THRESH_TEST and NMS_THRESH_TEST."""

NAMES = ("CLASS_NAMES", "CATEGORY_IDS", "KEYPOINT_NAMES", "STUFF_NAMES", "STUFF_IDS")
"""Keys of MODEL that name its outputs; they have no effect on its computation."""


def class_section(cfg: CfgNode) -> str:
    """Return the class section that the model's architecture reads."""
    return ARCHITECTURES[cfg.MODEL.META_ARCHITECTURE].classes.removeprefix("MODEL.")


def results(cfg: CfgNode) -> tuple[str, ...]:
    """Return the results of the model by their names in evaluations: bbox, sem_seg, ..."""
    return ARCHITECTURES[cfg.MODEL.META_ARCHITECTURE].results


def num_classes(cfg: CfgNode) -> int:
    """Return the number of classes of the model that `cfg` describes."""
    return int(cfg.MODEL[class_section(cfg)].NUM_CLASSES)


def set_classes(cfg: CfgNode, class_names: Sequence[str]) -> None:
    """Set the classes of the model in the sections of all architectures."""
    cfg.MODEL.CLASS_NAMES = list(class_names)
    cfg.MODEL.CATEGORY_IDS = []
    for section in CLASS_SECTIONS:
        cfg.MODEL[section].NUM_CLASSES = len(class_names)
