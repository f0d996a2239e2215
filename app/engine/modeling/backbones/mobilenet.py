"""MobileNetV2 (arXiv:1801.04381): maps mb2 .. mb5 of strides 4 .. 32, and two wide ones for SSD.

The weights have torchvision's names. torchvision is not used: importing it is slower than torch.
"""

from torch import Tensor, nn

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
    section="MODEL.MOBILENETV2",
    strides={"mb2": 4, "mb3": 8, "mb4": 16, "mb5": 32, "mb4_wide": 16, "mb5_wide": 32},
    keys={
        # maps to return
        "OUT_FEATURES": (
            ["mb2", "mb3", "mb4", "mb5"],
            listed(one_of("mb2", "mb3", "mb4", "mb5", "mb4_wide", "mb5_wide")),
        ),
        "NORM": ("FrozenBN", BODY_NORM),
    },
    first_weight="features.0.",
    faster_exported=True,
)

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""For each stage: expansion, channels, number of blocks, stride of the first block."""

LAST_CHANNELS = 1280
"""Of the last 1x1 convolution, which classification and SSD use."""

TAPS = {
    "mb2": TapPoint(3, ShapeSpec(24, 4)),
    "mb3": TapPoint(6, ShapeSpec(32, 8)),
    "mb4": TapPoint(13, ShapeSpec(96, 16)),
    "mb5": TapPoint(17, ShapeSpec(320, 32)),
    "mb4_wide": TapPoint(14, ShapeSpec(576, 16), inside="conv"),
    "mb5_wide": TapPoint(18, ShapeSpec(LAST_CHANNELS, 32)),
}


def build_mobilenetv2_backbone(cfg: CfgNode) -> FeaturesBackbone:
    """Build the body that `MODEL.MOBILENETV2` describes."""
    mobilenet = cfg.MODEL.MOBILENETV2
    require_three_channels(cfg)
    return FeaturesBackbone(
        with_norm(_features(wide="mb5_wide" in mobilenet.OUT_FEATURES), mobilenet.NORM),
        TAPS,
        stem_length=2,
        out_features=mobilenet.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )


class InvertedResidual(nn.Module):
    """A block that widens, convolves and narrows; it has a shortcut if the shape stays the same."""

    def __init__(self, in_channels: int, out_channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.conv = nn.Sequential(
            *([_conv(in_channels, width, 1)] if expansion != 1 else []),
            _conv(width, width, 3, stride=stride, groups=width),
            nn.Conv2d(width, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        out: Tensor = self.conv(x)
        return x + out if self.has_shortcut else out


def _features(*, wide: bool) -> nn.Sequential:
    blocks: list[nn.Module] = [_conv(3, 32, 3, stride=2)]
    channels = 32
    for expansion, out_channels, number, first_stride in STAGES:
        for index in range(number):
            stride = 1 if index else first_stride
            blocks.append(
                InvertedResidual(channels, out_channels, expansion=expansion, stride=stride)
            )
            channels = out_channels
    if wide:
        blocks.append(_conv(channels, LAST_CHANNELS, 1))
    features = nn.Sequential(*blocks)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return features


def _conv(
    in_channels: int, out_channels: int, side: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )
