"""MobileNetV2 (arXiv:1801.04381), torchvision's: maps mb2 .. mb5 of strides 4 .. 32."""

from torchvision.models import mobilenet_v2

from app.engine.config import CfgNode
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbones._torchvision import (
    FeaturesBackbone,
    TapPoint,
    check_body,
    with_norm,
)

# The last 1x1 convolution (features.18, 1280 channels) serves classification and is left out.
TAPS = {
    "mb2": TapPoint(3, ShapeSpec(24, 4)),
    "mb3": TapPoint(6, ShapeSpec(32, 8)),
    "mb4": TapPoint(13, ShapeSpec(96, 16)),
    "mb5": TapPoint(17, ShapeSpec(320, 32)),
}


def build_mobilenetv2_backbone(cfg: CfgNode) -> FeaturesBackbone:
    """The body that `MODEL.MOBILENETV2` describes."""
    mobilenet = cfg.MODEL.MOBILENETV2
    check_body(
        cfg,
        key="MODEL.MOBILENETV2.OUT_FEATURES",
        out_features=mobilenet.OUT_FEATURES,
        known=list(TAPS),
    )
    features = mobilenet_v2(weights=None).features
    return FeaturesBackbone(
        with_norm(features, mobilenet.NORM, key="MODEL.MOBILENETV2.NORM"),
        TAPS,
        stem_length=2,
        out_features=mobilenet.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
