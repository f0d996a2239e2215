"""EfficientNet (arXiv:1905.11946), torchvision's b0 .. b7: maps ef2 .. ef5 of strides 4 .. 32."""

from torch import nn

from app.engine.config import CfgNode
from app.engine.config.rules import BODY_NORM, listed, one_of
from app.engine.config.traits import Body
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbones._torchvision import (
    FeaturesBackbone,
    TapPoint,
    require_three_channels,
    with_norm,
)

TRAITS = Body(
    section="MODEL.EFFICIENTNET",
    strides={"ef2": 4, "ef3": 8, "ef4": 16, "ef5": 32},
    keys={
        "VARIANT": ("b4", ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7")),
        # maps to return
        "OUT_FEATURES": (
            ["ef2", "ef3", "ef4", "ef5"],
            listed(one_of("ef2", "ef3", "ef4", "ef5")),
        ),
        "NORM": ("FrozenBN", BODY_NORM),
    },
    first_weight="features.0.",
    faster_exported=True,
)

# The last 1x1 convolution (features.8) is for classification only and is left out.
TAP_INDEX = {"ef2": 2, "ef3": 3, "ef4": 5, "ef5": 7}


def build_efficientnet_backbone(cfg: CfgNode) -> FeaturesBackbone:
    """Build the body that `MODEL.EFFICIENTNET` describes."""
    efficientnet = cfg.MODEL.EFFICIENTNET
    require_three_channels(cfg)
    from torchvision import models  # slow to import

    # Stochastic depth is meant for training from scratch, so it is turned off.
    network = models.get_model(
        f"efficientnet_{efficientnet.VARIANT}", weights=None, stochastic_depth_prob=0.0
    )
    features = network.features
    return FeaturesBackbone(
        with_norm(features, efficientnet.NORM),
        {
            name: TapPoint(index, ShapeSpec(_out_channels(features[index]), 4 * 2**i))
            for i, (name, index) in enumerate(TAP_INDEX.items())
        },
        stem_length=2,
        out_features=efficientnet.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )


def _out_channels(stage: nn.Module) -> int:
    return [m.out_channels for m in stage.modules() if isinstance(m, nn.Conv2d)][-1]
