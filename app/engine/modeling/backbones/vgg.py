"""VGG-16 (arXiv:1409.1556): maps vgg2 .. vgg4 of strides 4 .. 16, and SSD's fc7 of stride 16.

The weights have torchvision's names. torchvision is not used: importing it is slower than torch.
"""

from torch import nn

from app.engine.config import CfgNode
from app.engine.config.rules import listed, one_of
from app.engine.config.traits import Body
from app.engine.layers.conv import init_kaiming
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbones._torchvision import (
    FeaturesBackbone,
    TapPoint,
    require_three_channels,
)

TRAITS = Body(
    section="MODEL.VGG",
    strides={"vgg2": 4, "vgg3": 8, "vgg4": 16, "fc7": 16},
    keys={
        # maps to return
        "OUT_FEATURES": (
            ["vgg2", "vgg3", "vgg4"],
            listed(one_of("vgg2", "vgg3", "vgg4", "fc7")),
        ),
    },
    first_weight="features.0.",
)

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""For each stage: channels, number of 3x3 convolutions; a maximum over 2x2 cells ends a stage."""

_ROUNDED_UP = 2
"""The stage after which odd sides are rounded up, so that 75 cells become 38 (SSD, section 3.1)."""

_FC7 = 1024

TAPS = {
    "vgg2": TapPoint(15, ShapeSpec(256, 4)),
    "vgg3": TapPoint(22, ShapeSpec(512, 8)),
    "vgg4": TapPoint(29, ShapeSpec(512, 16)),
    "fc7": TapPoint(34, ShapeSpec(_FC7, 16)),
}


def build_vgg_backbone(cfg: CfgNode) -> FeaturesBackbone:
    """Build the body that `MODEL.VGG` describes."""
    require_three_channels(cfg)
    return FeaturesBackbone(
        _features(dilated="fc7" in cfg.MODEL.VGG.OUT_FEATURES),
        TAPS,
        stem_length=10,
        out_features=cfg.MODEL.VGG.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )


def _features(*, dilated: bool) -> nn.Sequential:
    """The convolutions; if `dilated`, also SSD's form of the fully connected layers 6 and 7."""
    layers: list[nn.Module] = []
    in_channels = 3
    for stage, (channels, number) in enumerate(_STAGES):
        for _ in range(number):
            layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
            in_channels = channels
        layers.append(nn.MaxPool2d(2, ceil_mode=stage == _ROUNDED_UP))
    if dilated:
        layers[-1] = nn.MaxPool2d(3, stride=1, padding=1)
        layers += [nn.Conv2d(in_channels, _FC7, 3, padding=6, dilation=6), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(_FC7, _FC7, 1), nn.ReLU(inplace=True)]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            init_kaiming(layer)
    return nn.Sequential(*layers)
