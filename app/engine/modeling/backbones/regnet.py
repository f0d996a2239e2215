"""RegNetX and RegNetY (arXiv:2003.13678, 1905.13214): maps s1 .. s4 of strides 4 .. 32.

Attribute names are those of pycls and detectron2, because they appear in checkpoint keys.
"""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.config.rules import BODY_NORM, MAX_DEPTH, SHARE, listed, number, one_of, whole
from app.engine.config.traits import Body
from app.engine.errors import ConfigError
from app.engine.layers.conv import conv_norm
from app.engine.layers.norm import get_norm
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.backbones.resnet import freeze

TRAITS = Body(
    section="MODEL.REGNETS",
    strides={"stem": 2, "s1": 4, "s2": 8, "s3": 16, "s4": 32},
    keys={
        "STEM_WIDTH": (32, whole(1, 2048)),  # stem channels
        "DEPTH": (23, whole(1, MAX_DEPTH)),  # blocks in all stages together
        "W_A": (38.65, number(0, 1000)),  # slope of the width rule
        "W_0": (96, whole(8, 2048)),  # first width
        "W_M": (2.43, number(above=1, high=100)),  # ratio between stage widths
        "GROUP_WIDTH": (40, whole(1, 2048)),  # channels of one convolution group
        # squeeze-and-excitation width; 0 = RegNetX, 0.25 = RegNetY
        "SE_RATIO": (0.0, SHARE),
        "NORM": ("FrozenBN", BODY_NORM),
        # maps to return
        "OUT_FEATURES": (
            ["s1", "s2", "s3", "s4"],
            listed(one_of("stem", "s1", "s2", "s3", "s4")),
        ),
    },
)


def regnet_stages(
    *, depth: int, w_a: float, w_0: int, w_m: float, group_width: int
) -> list[tuple[int, int, int]]:
    """Return (number of blocks, width, group width) of each stage: section 3.3 of the paper.

    Widths grow linearly from `w_0` by `w_a`, and are rounded to `w_0` times a power of `w_m`.
    Blocks of equal width form a stage.
    """
    widths = w_0 + w_a * np.arange(depth)
    powers = np.round(np.log(widths / w_0) / math.log(w_m))
    rounded = np.round(w_0 * np.power(w_m, powers) / 8).astype(int) * 8
    stages = []
    for width, num_blocks in zip(*np.unique(rounded, return_counts=True), strict=True):
        group = min(group_width, int(width))
        stages.append((int(num_blocks), max(group, round(int(width) / group) * group), group))
    return stages


class Stem(nn.Module):
    """3x3 convolution of stride 2, norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__()
        self.conv = _conv(in_channels, out_channels, 3, stride=2)
        self.bn = get_norm(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / 2, W / 2)."""
        return F.relu_(conv_norm(self.conv, self.bn, x))


class SqueezeExcitation(nn.Module):
    """Scales channels by a gate computed from their means."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.f_ex = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        gate: Tensor = self.f_ex(F.adaptive_avg_pool2d(x, 1))
        return x * gate


class BottleneckTransform(nn.Module):
    """1x1, grouped 3x3, 1x1 convolution; squeeze-excitation before the last if `squeezed` > 0."""

    def __init__(
        self, in_channels: int, width: int, *, stride: int, group: int, squeezed: int, norm: str
    ) -> None:
        super().__init__()
        self.a = _conv(in_channels, width, 1)
        self.a_bn = get_norm(norm, width)
        self.b = _conv(width, width, 3, stride=stride, groups=width // group)
        self.b_bn = get_norm(norm, width)
        self.se = SqueezeExcitation(width, squeezed) if squeezed else None
        self.c = _conv(width, width, 1)
        self.c_bn = get_norm(norm, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        x = F.relu_(conv_norm(self.a, self.a_bn, x))
        x = F.relu_(conv_norm(self.b, self.b_bn, x))
        if self.se is not None:
            x = self.se(x)
        return conv_norm(self.c, self.c_bn, x)


class Block(nn.Module):
    """A residual block; `proj` projects the shortcut if stride or channels change."""

    def __init__(
        self, in_channels: int, width: int, *, stride: int, group: int, se_ratio: float, norm: str
    ) -> None:
        super().__init__()
        self.proj, self.bn = None, None
        if in_channels != width or stride != 1:
            self.proj = _conv(in_channels, width, 1, stride=stride)
            self.bn = get_norm(norm, width)
        self.f = BottleneckTransform(
            in_channels,
            width,
            stride=stride,
            group=group,
            squeezed=round(in_channels * se_ratio),
            norm=norm,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        shortcut = x if self.proj is None else conv_norm(self.proj, self.bn, x)
        return F.relu_(shortcut + self.f(x))


class RegNet(Backbone):
    """A stem and four stages of equal blocks.

    stages     (number of blocks, width, group width) of each stage
    se_ratio   squeezed channels of squeeze-excitation / input channels of the block; 0: none
    freeze_at  0 trains everything, 1 freezes the stem, 2 the stem and s1, ...
    """

    def __init__(
        self,
        *,
        in_channels: int,
        stem_width: int,
        stages: Sequence[tuple[int, int, int]],
        se_ratio: float,
        norm: str,
        out_features: Sequence[str],
        freeze_at: int,
    ) -> None:
        super().__init__()
        self.out_features = tuple(out_features)
        self.stem = Stem(in_channels, stem_width, norm)
        self._shapes = {"stem": ShapeSpec(stem_width, 2)}
        before = stem_width
        for i, (num_blocks, width, group) in enumerate(stages, start=1):
            stage = nn.Sequential()
            for k in range(num_blocks):
                channels, stride = (before, 2) if k == 0 else (width, 1)
                stage.add_module(
                    f"b{k + 1}",
                    Block(
                        channels, width, stride=stride, group=group, se_ratio=se_ratio, norm=norm
                    ),
                )
            self.add_module(f"s{i}", stage)
            self._shapes[f"s{i}"] = ShapeSpec(width, 2 ** (i + 1))
            before = width
        self.apply(_init)
        for name in list(self._shapes)[:freeze_at]:
            freeze(self.get_submodule(name))

    def output_shape(self) -> dict[str, ShapeSpec]:
        """The maps of `out_features`."""
        return {name: self._shapes[name] for name in self.out_features}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) -> the maps of `out_features`."""
        maps = {}
        for name in self._shapes:
            maps[name] = x = getattr(self, name)(x)
        return {name: maps[name] for name in self.out_features}


def build_regnet_backbone(cfg: CfgNode) -> RegNet:
    """Build the body that `MODEL.REGNETS` describes."""
    regnets = cfg.MODEL.REGNETS
    stages = regnet_stages(
        depth=regnets.DEPTH,
        w_a=regnets.W_A,
        w_0=regnets.W_0,
        w_m=regnets.W_M,
        group_width=regnets.GROUP_WIDTH,
    )
    known = ["stem", *(f"s{i + 1}" for i in range(len(stages)))]  # fewer than 4 stages, if equal
    if not set(regnets.OUT_FEATURES) <= set(known):
        raise ConfigError(
            f"MODEL.REGNETS.OUT_FEATURES is {list(regnets.OUT_FEATURES)}; "
            f"choose from {', '.join(known)}"
        )
    return RegNet(
        in_channels=len(cfg.MODEL.PIXEL_MEAN),
        stem_width=regnets.STEM_WIDTH,
        stages=stages,
        se_ratio=regnets.SE_RATIO,
        norm=regnets.NORM,
        out_features=regnets.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )


def _conv(
    in_channels: int, out_channels: int, side: int, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        out_channels,
        side,
        stride=stride,
        padding=side // 2,
        groups=groups,
        bias=False,
    )


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
