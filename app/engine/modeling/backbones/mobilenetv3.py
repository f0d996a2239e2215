"""MobileNetV3-Large (arXiv:1905.02244): maps mv2 .. mv5 of strides 4 .. 32.

Others are for torchvision's detectors: wide ones for SSD; the first block's of stride 32 and the
wide one of stride 32 for Faster R-CNN.
"""

from functools import partial

from torch import nn

from app.engine.config import CfgNode
from app.engine.config.rules import BODY_NORM, SHARE, SWITCH, listed, one_of
from app.engine.config.traits import Body
from app.engine.layers.norm import MOBILE_MOMENTUM
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbones._torchvision import (
    FeaturesBackbone,
    TapPoint,
    require_three_channels,
    with_norm,
)

TRAITS = Body(
    section="MODEL.MOBILENETV3",
    strides={
        "mv2": 4,
        "mv3": 8,
        "mv4": 16,
        "mv5": 32,
        "mv4_wide": 16,
        "mv5_wide": 32,
        "mv5_first": 32,
    },
    keys={
        # maps to return
        "OUT_FEATURES": (
            ["mv2", "mv3", "mv4", "mv5"],
            listed(one_of("mv2", "mv3", "mv4", "mv5", "mv4_wide", "mv5_wide", "mv5_first")),
        ),
        "NORM": ("FrozenBN", BODY_NORM),
        "NORM_EPS": (0.001, SHARE),  # added to variances; 1e-5 in torchvision's Faster R-CNN
        "REDUCED_TAIL": (False, SWITCH),  # half the channels from mv5 on, as in SSDLite from COCO
    },
    first_weight="features.0.",
    faster_exported=True,
)


def build_mobilenetv3_backbone(cfg: CfgNode) -> FeaturesBackbone:
    """Build the body that `MODEL.MOBILENETV3` describes."""
    mobilenet = cfg.MODEL.MOBILENETV3
    require_three_channels(cfg)
    from torchvision import models  # slow to import

    network = models.get_model(
        "mobilenet_v3_large",
        weights=None,
        reduced_tail=mobilenet.REDUCED_TAIL,
        norm_layer=partial(nn.BatchNorm2d, eps=mobilenet.NORM_EPS, momentum=MOBILE_MOMENTUM),
    )
    return FeaturesBackbone(
        with_norm(network.features, mobilenet.NORM),
        _taps(reduction=2 if mobilenet.REDUCED_TAIL else 1),
        stem_length=2,
        out_features=mobilenet.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )


def _taps(*, reduction: int) -> dict[str, TapPoint]:
    return {
        "mv2": TapPoint(3, ShapeSpec(24, 4)),
        "mv3": TapPoint(6, ShapeSpec(40, 8)),
        "mv4": TapPoint(12, ShapeSpec(112, 16)),
        "mv5": TapPoint(15, ShapeSpec(160 // reduction, 32)),
        "mv4_wide": TapPoint(13, ShapeSpec(672, 16), inside="block"),
        "mv5_wide": TapPoint(16, ShapeSpec(960 // reduction, 32)),
        "mv5_first": TapPoint(13, ShapeSpec(160 // reduction, 32)),
    }
