"""The config's mirror images of keypoints, such as left_eye and right_eye."""

import logging
from collections.abc import Sequence

from app.engine.config import CfgNode
from app.engine.data.transforms.mirror import Mirror, mirror_of
from app.engine.errors import ConfigError
from app.engine.structures.class_names import folded_name

logger = logging.getLogger(__name__)

COCO_PERSON = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""Names of COCO's 17 person keypoints."""

_PAIRS = "INPUT.KEYPOINT_FLIP_PAIRS"


def keypoint_mirror(cfg: CfgNode) -> Mirror | None:
    """The mirror images of the config's keypoints; None if they are not known.

    They are INPUT.KEYPOINT_FLIP_PAIRS, else derived from MODEL.KEYPOINT_NAMES, else those of COCO's
    person if there are 17 keypoints. Raises ConfigError for settings that do not fit each other.
    """
    count = int(cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS)
    names = [str(name) for name in cfg.MODEL.KEYPOINT_NAMES]
    if names and len(names) != count:
        raise ConfigError(
            f"MODEL.KEYPOINT_NAMES has {len(names)} names, but"
            f" MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS is {count}; make them agree"
        )
    if cfg.INPUT.KEYPOINT_FLIP_PAIRS:
        return _mirror_of_pairs(cfg.INPUT.KEYPOINT_FLIP_PAIRS, names, count)
    if names:
        return mirror_of(names)
    return mirror_of(COCO_PERSON) if count == len(COCO_PERSON) else None


def require_mirror(cfg: CfgNode, key: str) -> Sequence[int]:
    """Index of each keypoint's mirror image; raises ConfigError unless all are known.

    `key` is the setting that asks for mirrored images.
    """
    mirror = keypoint_mirror(cfg)
    if mirror is None:
        raise ConfigError(
            f"{key} asks for mirrored images, but which of the"
            f" {cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS} keypoints are mirror images is not"
            f" known; give {_PAIRS}, or MODEL.KEYPOINT_NAMES such as left_eye and right_eye, or"
            " turn it off"
        )
    if mirror.unpaired:
        raise ConfigError(
            f"{key} asks for mirrored images, but {_listed(mirror.unpaired)} among the keypoints"
            f" have no mirror image; give {_PAIRS}, or turn it off"
        )
    return mirror.indices


def without_false_flips(cfg: CfgNode) -> CfgNode:
    """Turn INPUT.RANDOM_FLIP off, with a warning, if mirrored keypoints would get wrong sides."""
    if not cfg.MODEL.KEYPOINT_ON or cfg.INPUT.RANDOM_FLIP != "horizontal":
        return cfg
    mirror = keypoint_mirror(cfg)
    if mirror is None or not mirror.unpaired:
        return cfg
    logger.warning(
        "keypoints: %s say a side, but no other name is their mirror image, so images are not"
        " mirrored in this training; to mirror them give pairs, such as %s \"[['%s', '...']]\"",
        _listed(mirror.unpaired),
        _PAIRS,
        mirror.unpaired[0],
    )
    return cfg.with_values({"INPUT.RANDOM_FLIP": "none"})


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _mirror_of_pairs(
    pairs: Sequence[Sequence[str | int]], names: Sequence[str], count: int
) -> Mirror:
    indices = list(range(count))
    for pair in pairs:
        one, other = (_index(item, names, count) for item in pair)
        if one == other or indices[one] != one or indices[other] != other:
            raise ConfigError(f"{_PAIRS}: {pair!r} names a keypoint twice; give each pair once")
        indices[one], indices[other] = other, one
    return Mirror(tuple(indices))


def _index(item: str | int, names: Sequence[str], count: int) -> int:
    """The index of a keypoint that is given by name or by number from 0."""
    if isinstance(item, int):
        if 0 <= item < count:
            return item
        raise ConfigError(f"{_PAIRS}: {item} is no index of {count} keypoints, 0 to {count - 1}")
    found = [i for i, name in enumerate(names) if name == item]
    found = found or [i for i, name in enumerate(names) if folded_name(name) == folded_name(item)]
    if len(found) != 1:
        what = "is the name of several keypoints" if found else "is none of the keypoints"
        known = ", ".join(names) or "without names: give indices"
        raise ConfigError(f"{_PAIRS}: {item!r} {what} ({known}); correct it")
    return found[0]
