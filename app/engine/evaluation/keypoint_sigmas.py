"""The sigmas of object keypoint similarity (OKS): the tolerance for each keypoint."""

import logging
import math
from collections.abc import Sequence

from app.engine.config import CfgNode
from app.engine.data.transforms.keypoints import COCO_PERSON
from app.engine.data.transforms.mirror import key_of
from app.engine.errors import ConfigError

logger = logging.getLogger(__name__)

COCO_OKS_SIGMAS: Sequence[float] = (
    *(0.026, 0.025, 0.025, 0.035, 0.035),  # nose, eyes, ears
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),  # shoulders, elbows, wrists
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),  # hips, knees, ankles
)
"""Deviation between annotators for each of COCO's 17 keypoints, relative to the object's size."""

DEFAULT_SIGMA = 0.067
"""The sigma of all other keypoints: the mean of COCO's sigmas."""

_OF_COCO = {key_of(name): sigma for name, sigma in zip(COCO_PERSON, COCO_OKS_SIGMAS, strict=True)}


def oks_sigmas(cfg: CfgNode) -> list[float]:
    """Return a sigma for each keypoint of the config's model.

    They are TEST.KEYPOINT_OKS_SIGMAS, else COCO's for keypoints with the names of COCO's person
    (and for 17 without names), else `DEFAULT_SIGMA`. ConfigError if given sigmas do not fit.
    """
    count = int(cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS)
    given = [float(sigma) for sigma in cfg.TEST.KEYPOINT_OKS_SIGMAS]
    if given:
        if len(given) != count or not all(0 < s < math.inf for s in given):
            raise ConfigError(
                f"TEST.KEYPOINT_OKS_SIGMAS has {len(given)} values ({min(given):g} to"
                f" {max(given):g}) for a model of {count} keypoints; give one number above 0 for"
                " each, or [] for the default"
            )
        return given
    names = [str(name) for name in cfg.MODEL.KEYPOINT_NAMES]
    if not names and count == len(COCO_PERSON):
        return list(COCO_OKS_SIGMAS)
    if not names:
        return [DEFAULT_SIGMA] * count
    return [_OF_COCO.get(key_of(name), DEFAULT_SIGMA) for name in names]


def tell_sigmas(cfg: CfgNode) -> None:
    """Log the assumed sigmas if they are neither given nor all COCO's."""
    if not cfg.MODEL.KEYPOINT_ON or cfg.TEST.KEYPOINT_OKS_SIGMAS:
        return
    sigmas = oks_sigmas(cfg)
    if sorted(sigmas) == sorted(COCO_OKS_SIGMAS):
        return
    assumed = sigmas.count(DEFAULT_SIGMA)
    logger.warning(
        "keypoints: TEST.KEYPOINT_OKS_SIGMAS is not set, so AP counts with %g for %d of %d"
        " keypoints%s; set it to one number for each keypoint to measure by other rules",
        DEFAULT_SIGMA,
        assumed,
        len(sigmas),
        " and COCO's for those that are named as in COCO" if assumed < len(sigmas) else "",
    )
