"""The choices of keys with a fixed set of values, and why some of detectron2's are refused.

`wrong_values` runs before slow steps, so that a wrong value is reported at once.
"""

from collections.abc import Iterator
from typing import Any

from app.engine.config.backbone_names import combinations
from app.engine.config.contradictions import ROTATED
from app.engine.config.declared import ARCHITECTURES, BODIES, NECKS, ROI_HEADS, SECTIONS
from app.engine.config.faults import Fault, Leaves, shown
from app.engine.config.ranges import out_of_range
from app.engine.config.unknown import did_you_mean

_BOX_LOSSES = ("smooth_l1", "giou", "diou", "ciou")
_POOLERS = ("ROIAlignV2", "ROIAlign", "ROIPool")

CHOICES: dict[str, tuple[Any, ...]] = {
    "MODEL.META_ARCHITECTURE": tuple(ARCHITECTURES),
    "MODEL.BACKBONE.NAME": tuple(combinations(BODIES, NECKS)),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN", "PrecomputedProposals"),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator", "TorchvisionAnchorGenerator"),
    "MODEL.FPN.FUSE_TYPE": ("sum", "avg"),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead",),
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": _BOX_LOSSES,
    "MODEL.ROI_HEADS.NAME": ROI_HEADS,
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
    **{
        f"{section}.{key}": choices
        for section, keys in SECTIONS.items()
        for key, (_, choices) in keys.items()
        if isinstance(choices, tuple)
    },
}
"""Key -> the supported values."""

REFUSED: dict[str, dict[str, str]] = {
    "MODEL.META_ARCHITECTURE": {
        "TensorMask": "it belongs to detectron2's project TensorMask",
        "PanopticDeepLab": "it belongs to detectron2's project Panoptic-DeepLab",
    },
    "MODEL.PROPOSAL_GENERATOR.NAME": {
        "RRPN": ROTATED,
        "TridentRPN": "it belongs to detectron2's project TridentNet",
    },
    "MODEL.ANCHOR_GENERATOR.NAME": {"RotatedAnchorGenerator": ROTATED},
    "MODEL.ROI_HEADS.NAME": {
        "RROIHeads": ROTATED,
        "PointRendROIHeads": "it belongs to detectron2's project PointRend",
        "TridentStandardROIHeads": "it belongs to detectron2's project TridentNet",
        "TridentRes5ROIHeads": "it belongs to detectron2's project TridentNet",
        "DensePoseROIHeads": "it belongs to detectron2's project DensePose",
    },
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": {"ROIAlignRotated": ROTATED},
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": {"ROIAlignRotated": ROTATED},
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_TYPE": {"ROIAlignRotated": ROTATED},
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
"""Key -> value of detectron2 -> the reason why it is not supported."""


def wrong_values(leaves: Leaves) -> Iterator[Fault]:
    """Yield a fault for each value that is unknown, not supported or out of its range."""
    yield from _no_choices(leaves)
    yield from out_of_range(leaves)


def _no_choices(leaves: Leaves) -> Iterator[Fault]:
    for key, choices in CHOICES.items():
        value = leaves[key]
        reason = REFUSED.get(key, {}).get(value) if isinstance(value, str) else None
        if reason:
            yield Fault(key, f"{key} is {value!r}, which is refused: {reason}")
        elif value not in choices:
            names = [str(choice) for choice in choices]
            yield Fault(
                key,
                f"{key} is {shown(value)}, but must be one of {', '.join(map(repr, choices))}"
                f"{did_you_mean(str(value), names)}",
            )
