"""The config of the engine: detectron2's keys, defaults and file format, with checks."""

from app.engine.config.classes import (
    CLASS_SECTIONS,
    NAMES,
    class_section,
    num_classes,
    results,
    set_classes,
)
from app.engine.config.faults import Fault
from app.engine.config.load import (
    check_supported,
    get_config,
    inspect_config,
    load_config,
    load_model_config,
)
from app.engine.config.node import CfgNode
from app.engine.config.portable import portable

__all__ = [
    "CLASS_SECTIONS",
    "NAMES",
    "CfgNode",
    "Fault",
    "check_supported",
    "class_section",
    "get_config",
    "inspect_config",
    "load_config",
    "load_model_config",
    "num_classes",
    "portable",
    "results",
    "set_classes",
]
