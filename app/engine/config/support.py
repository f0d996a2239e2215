"""Values that detectron2's schema allows and this engine refuses, each with its reason.

`check_supported` runs before anything slow, so a wrong word is named at once with the right ones.
"""

from collections.abc import Iterator
from typing import Any

from app.engine.config.defaults import DETECTRON2
from app.engine.config.node import CfgNode
from app.engine.config.unknown import did_you_mean
from app.engine.errors import ConfigError

_ROTATED = "rotated boxes are not part of this engine"
_BOX_LOSSES = ("smooth_l1", "giou", "diou", "ciou")
_POOLERS = ("ROIAlignV2", "ROIAlign", "ROIPool")

CHOICES: dict[str, tuple[Any, ...]] = {
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN", "PrecomputedProposals"),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator",),
    "MODEL.FPN.FUSE_TYPE": ("sum", "avg"),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead",),
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": _BOX_LOSSES,
    "MODEL.ROI_HEADS.NAME": ("Res5ROIHeads", "StandardROIHeads", "CascadeROIHeads"),
    "MODEL.ROI_BOX_HEAD.NAME": ("", "FastRCNNConvFCHead"),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": _BOX_LOSSES,
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": _POOLERS,
    "MODEL.ROI_MASK_HEAD.NAME": ("MaskRCNNConvUpsampleHead",),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": _POOLERS,
    "MODEL.ROI_KEYPOINT_HEAD.NAME": ("KRCNNConvDeconvUpsampleHead",),
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_TYPE": _POOLERS,
    "MODEL.SEM_SEG_HEAD.NAME": ("SemSegFPNHead",),
    "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": _BOX_LOSSES,
    "MODEL.RESNETS.DEPTH": (18, 34, 50, 101, 152),
    "MODEL.RESNETS.RES5_DILATION": (1, 2),
    "MODEL.EFFICIENTNET.VARIANT": tuple(f"b{n}" for n in range(8)),
    "INPUT.FORMAT": ("BGR", "RGB", "L", "YUV-BT.601"),
    "INPUT.BITS_PER_SAMPLE": (0, 8, 10, 12, 14, 16, 24, 32),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.RANDOM_FLIP": ("horizontal", "vertical", "none"),
    "INPUT.CROP.TYPE": ("relative", "relative_range", "absolute", "absolute_range"),
    "INPUT.MASK_FORMAT": ("polygon", "bitmask"),
    "DATASETS.ANNOTATED_FRAME": ("auto", "shown", "stored", "scaled"),
    "DATALOADER.SAMPLER_TRAIN": (
        "TrainingSampler",
        "RepeatFactorTrainingSampler",
        "RandomSubsetTrainingSampler",
        "WeightedTrainingSampler",
    ),
    "SOLVER.OPTIMIZER": ("SGD", "ADAMW"),
    "SOLVER.LR_SCHEDULER_NAME": (
        "WarmupMultiStepLR",
        "WarmupCosineLR",
        "WarmupStepWithFixedGammaLR",
    ),
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm", "full_model"),
    "SOLVER.AMP.DTYPE": ("auto", "float16", "bfloat16"),
    "FLOAT32_PRECISION": ("", "highest", "high", "medium"),
}
"""Key -> the values that work."""

REFUSED: dict[str, dict[str, str]] = {
    "MODEL.META_ARCHITECTURE": {
        "TensorMask": "it belongs to detectron2's project TensorMask",
        "PanopticDeepLab": "it belongs to detectron2's project Panoptic-DeepLab",
    },
    "MODEL.PROPOSAL_GENERATOR.NAME": {
        "RRPN": _ROTATED,
        "TridentRPN": "it belongs to detectron2's project TridentNet",
    },
    "MODEL.ANCHOR_GENERATOR.NAME": {"RotatedAnchorGenerator": _ROTATED},
    "MODEL.ROI_HEADS.NAME": {
        "RROIHeads": _ROTATED,
        "PointRendROIHeads": "it belongs to detectron2's project PointRend",
        "TridentStandardROIHeads": "it belongs to detectron2's project TridentNet",
        "TridentRes5ROIHeads": "it belongs to detectron2's project TridentNet",
        "DensePoseROIHeads": "it belongs to detectron2's project DensePose",
    },
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": {"ROIAlignRotated": _ROTATED},
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": {"ROIAlignRotated": _ROTATED},
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_TYPE": {"ROIAlignRotated": _ROTATED},
    "MODEL.ROI_MASK_HEAD.NAME": {
        "CoarseMaskHead": "it belongs to detectron2's project PointRend",
        "PointRendMaskHead": "it belongs to detectron2's project PointRend",
        "ImplicitPointRendMaskHead": "it belongs to detectron2's project PointRend",
    },
    "MODEL.SEM_SEG_HEAD.NAME": {
        "DeepLabV3Head": "it belongs to detectron2's project DeepLab",
        "DeepLabV3PlusHead": "it belongs to detectron2's project DeepLab",
        "PanopticDeepLabSemSegHead": "it belongs to detectron2's project Panoptic-DeepLab",
        "PointRendSemSegHead": "it belongs to detectron2's project PointRend",
    },
    "SOLVER.LR_SCHEDULER_NAME": {"WarmupPolyLR": "it belongs to detectron2's project DeepLab"},
}
"""Key -> value -> why it is refused."""

_WITH_ROI_HEADS = ("GeneralizedRCNN", "PanopticFPN")
_WITHOUT_ROI_HEADS = ("RetinaNet", "FCOS", "ProposalNetwork", "SemanticSegmentor")
_BOX_WEIGHTS = ("MODEL.RPN", "MODEL.ROI_BOX_HEAD", "MODEL.RETINANET")


def check_supported(cfg: CfgNode) -> None:
    """ConfigError naming every value that this engine refuses, and why."""
    leaves = dict(cfg.leaves())
    problems = [
        f"{key} is {leaves[key]!r}, which is refused: {reasons[leaves[key]]}"
        for key, reasons in REFUSED.items()
        if leaves[key] in reasons
    ]
    problems += [
        f"{key} is {leaves[key]!r}, but must be one of {', '.join(map(repr, choices))}"
        + did_you_mean(str(leaves[key]), [str(choice) for choice in choices])
        for key, choices in CHOICES.items()
        if leaves[key] not in choices and leaves[key] not in REFUSED.get(key, {})
    ]
    problems += [
        f"{section}.BBOX_REG_WEIGHTS has {len(weights)} numbers, but needs 4: {_ROTATED}"
        for section in _BOX_WEIGHTS
        if len(weights := leaves[f"{section}.BBOX_REG_WEIGHTS"]) != 4
    ]
    problems += _contradictions(leaves)
    if problems:
        raise ConfigError("; ".join(problems))


def _contradictions(leaves: dict[str, Any]) -> Iterator[str]:
    """What is wrong with values that do not go together, or would have no effect."""
    mean, std = leaves["MODEL.PIXEL_MEAN"], leaves["MODEL.PIXEL_STD"]
    channels = 1 if leaves["INPUT.FORMAT"] == "L" else 3
    if not len(mean) == len(std) == channels:
        yield (
            f"MODEL.PIXEL_MEAN has {len(mean)} numbers and MODEL.PIXEL_STD {len(std)}, and "
            f"INPUT.FORMAT {leaves['INPUT.FORMAT']} {channels} channels; give one of each per "
            "channel"
        )
    if leaves["MODEL.ANCHOR_GENERATOR.ANGLES"] != DETECTRON2["MODEL"]["ANCHOR_GENERATOR"]["ANGLES"]:
        yield f"MODEL.ANCHOR_GENERATOR.ANGLES is refused: {_ROTATED}; leave it out"
    architecture = leaves["MODEL.META_ARCHITECTURE"]
    for key in ("MODEL.MASK_ON", "MODEL.KEYPOINT_ON"):
        if leaves[key] and architecture in _WITHOUT_ROI_HEADS:
            yield f"{key} is True, but {architecture} has no heads for that; set it to False"
    precomputed = leaves["MODEL.PROPOSAL_GENERATOR.NAME"] == "PrecomputedProposals"
    if leaves["MODEL.LOAD_PROPOSALS"] != precomputed and architecture in _WITH_ROI_HEADS:
        yield (
            f"MODEL.LOAD_PROPOSALS is {leaves['MODEL.LOAD_PROPOSALS']} with "
            f"MODEL.PROPOSAL_GENERATOR.NAME {leaves['MODEL.PROPOSAL_GENERATOR.NAME']}; set True "
            "with PrecomputedProposals, or False with RPN"
        )
    if leaves["INPUT.RECOMPUTE_BOXES"] and not leaves["MODEL.MASK_ON"]:
        yield "INPUT.RECOMPUTE_BOXES takes boxes from masks; set MODEL.MASK_ON True, or it to False"
    if not 0 <= leaves["INPUT.FLOAT_WHITE"] < float("inf"):
        yield (
            f"INPUT.FLOAT_WHITE is {leaves['INPUT.FLOAT_WHITE']}; give the value above 0 that is "
            "white in images of floats, or 0 to have it decided"
        )
    if leaves["TEST.DETECTIONS_PER_IMAGE"] < 1:
        yield (
            f"TEST.DETECTIONS_PER_IMAGE is {leaves['TEST.DETECTIONS_PER_IMAGE']}; give how many "
            "of the best to keep, at least 1"
        )
