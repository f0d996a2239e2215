"""Messages about keys that do not exist."""

from collections.abc import Collection
from difflib import get_close_matches

from app.engine.config.upgrade import RENAMED

PROJECTS = {
    "SOLVER.POLY_LR_POWER": "DeepLab",
    "SOLVER.POLY_LR_CONSTANT_ENDING": "DeepLab",
    "MODEL.SEM_SEG_HEAD.LOSS_TYPE": "DeepLab",
    "MODEL.SEM_SEG_HEAD.LOSS_TOP_K": "Panoptic-DeepLab",
    "MODEL.SEM_SEG_HEAD.HEAD_CHANNELS": "Panoptic-DeepLab",
    "MODEL.SEM_SEG_HEAD.PROJECT_FEATURES": "DeepLab",
    "MODEL.SEM_SEG_HEAD.PROJECT_CHANNELS": "DeepLab",
    "MODEL.SEM_SEG_HEAD.ASPP_CHANNELS": "DeepLab",
    "MODEL.SEM_SEG_HEAD.ASPP_DILATIONS": "DeepLab",
    "MODEL.SEM_SEG_HEAD.ASPP_DROPOUT": "DeepLab",
    "MODEL.SEM_SEG_HEAD.USE_DEPTHWISE_SEPARABLE_CONV": "DeepLab",
    "MODEL.RESNETS.RES4_DILATION": "DeepLab",
    "MODEL.RESNETS.RES5_MULTI_GRID": "DeepLab",
    "MODEL.RESNETS.STEM_TYPE": "DeepLab",
    "MODEL.INS_EMBED_HEAD": "Panoptic-DeepLab",
    "MODEL.PANOPTIC_DEEPLAB": "Panoptic-DeepLab",
    "INPUT.GAUSSIAN_SIGMA": "Panoptic-DeepLab",
    "INPUT.IGNORE_STUFF_IN_OFFSET": "Panoptic-DeepLab",
    "INPUT.SMALL_INSTANCE_AREA": "Panoptic-DeepLab",
    "INPUT.SMALL_INSTANCE_WEIGHT": "Panoptic-DeepLab",
    "INPUT.IGNORE_CROWD_IN_SEMANTIC": "Panoptic-DeepLab",
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": "DeepLab",
    "MODEL.DENSEPOSE_ON": "DensePose",
    "MODEL.ROI_DENSEPOSE_HEAD": "DensePose",
    "MODEL.HRNET": "DensePose",
    "MODEL.POINT_HEAD": "PointRend",
    "MODEL.IMPLICIT_POINTREND": "PointRend",
    "MODEL.ROI_MASK_HEAD.FC_DIM": "PointRend",
    "MODEL.ROI_MASK_HEAD.NUM_FC": "PointRend",
    "MODEL.ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION": "PointRend",
    "MODEL.ROI_MASK_HEAD.IN_FEATURES": "PointRend",
    "MODEL.ROI_MASK_HEAD.POINT_HEAD_ON": "PointRend",
    "INPUT.COLOR_AUG_SSD": "PointRend",
    "INPUT.POINT_SUP": "PointSup",
    "INPUT.SAMPLE_POINTS": "PointSup",
    "MODEL.TENSOR_MASK": "TensorMask",
    "MODEL.TRIDENT": "TridentNet",
}
"""Key or section -> the project of detectron2 that defines it."""


def explain_unknown(key: str, known: Collection[str]) -> str:
    """Explain why `key` is not one of the `known` leaf keys, and suggest a similar key."""
    project = next((PROJECTS[p] for p in PROJECTS if f"{key}.".startswith(f"{p}.")), None)
    if project:
        return f"{key} belongs to detectron2's project {project}, which is not part of this engine"
    if key in RENAMED:
        return f"{key} is now called {RENAMED[key]}"
    if key in known:
        return f"{key} is written with dots; indent each part below the one before"
    return f"there is no key {key}{did_you_mean(key, known)}"


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return `; did you mean X?`, or '' if no known word is similar."""
    same_name = [k for k in known if k.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]]
    near = (
        get_close_matches(word, known, n=1, cutoff=0.75)
        or get_close_matches(word.upper(), known, n=1, cutoff=0.75)
        or same_name[:3]
    )
    return f"; did you mean {' or '.join(near)}?" if near else ""
