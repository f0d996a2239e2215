"""Convert config files of detectron2's schema versions 0 and 1 to version 2."""

import logging
from pathlib import Path
from typing import Any

from app.engine.config.yaml_file import ConfigFile, read_config
from app.engine.errors import ConfigError

logger = logging.getLogger(__name__)

LATEST = 2

RENAMED = {
    "MODEL.RPN_HEAD.NAME": "MODEL.RPN.HEAD_NAME",
    "MODEL.WEIGHT": "MODEL.WEIGHTS",
    "MODEL.PANOPTIC_FPN.SEMANTIC_LOSS_SCALE": "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT",
    "MODEL.PANOPTIC_FPN.RPN_LOSS_SCALE": "MODEL.RPN.LOSS_WEIGHT",
    "MODEL.PANOPTIC_FPN.INSTANCE_LOSS_SCALE": "MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT",
    "MODEL.PANOPTIC_FPN.COMBINE_ON": "MODEL.PANOPTIC_FPN.COMBINE.ENABLED",
    "MODEL.PANOPTIC_FPN.COMBINE_OVERLAP_THRESHOLD": "MODEL.PANOPTIC_FPN.COMBINE.OVERLAP_THRESH",
    "MODEL.PANOPTIC_FPN.COMBINE_STUFF_AREA_LIMIT": "MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT",
    "MODEL.PANOPTIC_FPN.COMBINE_INSTANCES_CONFIDENCE_THRESHOLD": (
        "MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH"
    ),
    "MODEL.ROI_HEADS.SCORE_THRESH": "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
    "MODEL.ROI_HEADS.NMS": "MODEL.ROI_HEADS.NMS_THRESH_TEST",
    "MODEL.RETINANET.INFERENCE_SCORE_THRESHOLD": "MODEL.RETINANET.SCORE_THRESH_TEST",
    "MODEL.RETINANET.INFERENCE_TOPK_CANDIDATES": "MODEL.RETINANET.TOPK_CANDIDATES_TEST",
    "MODEL.RETINANET.INFERENCE_NMS_THRESHOLD": "MODEL.RETINANET.NMS_THRESH_TEST",
    "TEST.DETECTIONS_PER_IMG": "TEST.DETECTIONS_PER_IMAGE",
    "TEST.AUG_ON": "TEST.AUG.ENABLED",
    "TEST.AUG_MIN_SIZES": "TEST.AUG.MIN_SIZES",
    "TEST.AUG_MAX_SIZE": "TEST.AUG.MAX_SIZE",
    "TEST.AUG_FLIP": "TEST.AUG.FLIP",
}
"""Old key -> the new key that replaces it."""

_ANCHOR_KEYS = ("SIZES", "ASPECT_RATIOS")


def read_upgraded(path: Path | str, *, meta_architecture: str) -> ConfigFile:
    """Read a YAML file and its `_BASE_` files, and convert old keys.

    `meta_architecture` is the value that holds if the file does not set it.
    """
    file = read_config(Path(path))
    upgrade(file.values, file.origins, file=str(path), meta_architecture=meta_architecture)
    return file


def upgrade(
    values: dict[str, Any], origins: dict[str, str], *, file: str, meta_architecture: str
) -> None:
    """Rename in place the old keys of a config file's `values` (and of their `origins`).

    `meta_architecture` is used to convert old anchor keys if the file does not set it.
    """
    version = values.get("VERSION")
    if version is None:
        old = [key for key in RENAMED if _has(values, key)]
        version = 1 if old else LATEST
        logger.warning("Config '%s' has no VERSION; reading it as version %d.", file, version)
    if type(version) is not int or not 0 <= version <= LATEST:
        raise ConfigError(
            f"{file}: VERSION is {version!r}, and this engine reads versions 0 to {LATEST}; "
            "write the file for version 2"
        )
    if version < LATEST:
        for old_key, new_key in RENAMED.items():
            _move(values, origins, old_key, new_key)
        _move_anchors(values, origins, meta_architecture)
    values["VERSION"] = LATEST


def _move_anchors(values: dict[str, Any], origins: dict[str, str], meta_architecture: str) -> None:
    """Version 1 had anchors of RetinaNet and of the RPN: keep those of the architecture."""
    model = values.get("MODEL")
    if isinstance(model, dict):
        meta_architecture = model.get("META_ARCHITECTURE", meta_architecture)
    used, unused = (
        ("RETINANET", "RPN") if meta_architecture == "RetinaNet" else ("RPN", "RETINANET")
    )
    for key in _ANCHOR_KEYS:
        new = f"MODEL.ANCHOR_GENERATOR.{key}"
        _move(values, origins, f"MODEL.{used}.ANCHOR_{key}", new)
        _pop(values, f"MODEL.{unused}.ANCHOR_{key}")
    _pop(values, "MODEL.RETINANET.ANCHOR_STRIDES")


def _move(values: dict[str, Any], origins: dict[str, str], old: str, new: str) -> None:
    if not _has(values, old):
        return
    *sections, leaf = new.split(".")
    value, section = _pop(values, old), values
    for name in sections:
        section = section.setdefault(name, {})
    section[leaf] = value
    if old in origins:
        origins[new] = origins[old]


def _has(values: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


def _pop(values: dict[str, Any], key: str) -> Any:
    """Remove and return the value at `key`; remove its section if that is empty then."""
    if not _has(values, key):
        return None
    name, _, rest = key.partition(".")
    if not rest:
        return values.pop(name)
    value = _pop(values[name], rest)
    if not values[name]:
        del values[name]
    return value
