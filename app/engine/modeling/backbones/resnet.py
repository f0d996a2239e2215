"""ResNet (arXiv:1512.03385), ResNeXt (1611.05431), dilated and deformable variants.

The maps `stem`, `res2` .. `res5` have strides 4, 4 .. 32. Attribute names are detectron2's,
because they appear in checkpoint keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.config.traits import Body
from app.engine.layers.conv import Conv2d, init_kaiming
from app.engine.layers.deform import DeformConv
from app.engine.layers.norm import freeze_batch_norm, get_norm, set_eps
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbone import Backbone

TRAITS = Body(
    section="MODEL.RESNETS",
    strides={"stem": 4, "res2": 4, "res3": 8, "res4": 16, "res5": 32},
    dilation="MODEL.RESNETS.RES5_DILATION",
    first_weight="layer1.0.",
)


BLOCKS_PER_STAGE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of residual blocks; only the first block changes stride and channels.

    bottleneck_channels  0 means the basic block of two 3x3 convolutions
    stride_in_1x1        the first 1x1 has the stride (MSRA's checkpoints), else the 3x3
    offset_groups        0 means a plain 3x3, else a deformable one
    modulated            deformable convolution v2: it also predicts a weight for each position
    """

    num_blocks: int
    in_channels: int
    out_channels: int
    stride: int = 1
    norm: str = "FrozenBN"
    bottleneck_channels: int = 0
    num_groups: int = 1
    stride_in_1x1: bool = False
    dilation: int = 1
    offset_groups: int = 0
    modulated: bool = False


def make_stage(spec: StageSpec) -> nn.Sequential:
    """Build the blocks of one stage."""
    block_class = (
        BasicBlock
        if not spec.bottleneck_channels
        else DeformBottleneckBlock
        if spec.offset_groups
        else BottleneckBlock
    )
    blocks = []
    for i in range(spec.num_blocks):
        in_channels, stride = (spec.in_channels, spec.stride) if i == 0 else (spec.out_channels, 1)
        blocks.append(block_class(spec, in_channels=in_channels, stride=stride))
    return nn.Sequential(*blocks)


class _Block(nn.Module):
    """A residual block; `shortcut` is a projection if the number of channels changes."""

    shortcut: Conv2d | None

    def __init__(self, spec: StageSpec, *, in_channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut = None
        if in_channels != spec.out_channels:
            self.shortcut = _conv(in_channels, spec.out_channels, 1, spec.norm, stride=stride)

    def _add(self, last: Conv2d, inner: Tensor, x: Tensor) -> Tensor:
        y: Tensor = last(inner)
        y += x if self.shortcut is None else self.shortcut(x)
        return F.relu_(y)


class BasicBlock(_Block):
    """Two 3x3 convolutions."""

    def __init__(self, spec: StageSpec, *, in_channels: int, stride: int) -> None:
        super().__init__(spec, in_channels=in_channels, stride=stride)
        channels = spec.out_channels
        self.conv1 = _conv(in_channels, channels, 3, spec.norm, stride=stride, padding=1, relu=True)
        self.conv2 = _conv(channels, channels, 3, spec.norm, padding=1)
        _init(self.conv1, self.conv2, self.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        return self._add(self.conv2, self.conv1(x), x)


class BottleneckBlock(_Block):
    """A 1x1, a 3x3 and a 1x1 convolution."""

    def __init__(self, spec: StageSpec, *, in_channels: int, stride: int) -> None:
        super().__init__(spec, in_channels=in_channels, stride=stride)
        channels = spec.bottleneck_channels
        stride_1x1, stride_3x3 = (stride, 1) if spec.stride_in_1x1 else (1, stride)
        self.conv1 = _conv(in_channels, channels, 1, spec.norm, stride=stride_1x1, relu=True)
        self._make_conv2(spec, stride_3x3)
        self.conv3 = _conv(channels, spec.out_channels, 1, spec.norm)
        _init(self.conv1, self.conv2, self.conv3, self.shortcut)

    def _make_conv2(self, spec: StageSpec, stride: int) -> None:
        channels = spec.bottleneck_channels
        self.conv2: nn.Module = _conv(
            channels,
            channels,
            3,
            spec.norm,
            stride=stride,
            padding=spec.dilation,
            dilation=spec.dilation,
            groups=spec.num_groups,
            relu=True,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        return self._add(self.conv3, self._convolve_3x3(self.conv1(x)), x)

    def _convolve_3x3(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(x)
        return y


class DeformBottleneckBlock(BottleneckBlock):
    """A bottleneck whose 3x3 convolution is deformable; its offsets are initially zero."""

    def _make_conv2(self, spec: StageSpec, stride: int) -> None:
        channels = spec.bottleneck_channels
        self.modulated = spec.modulated
        self.conv2_offset = Conv2d(
            channels,
            (27 if spec.modulated else 18) * spec.offset_groups,
            3,
            stride=stride,
            padding=spec.dilation,
            dilation=spec.dilation,
        )
        self.conv2 = DeformConv(
            channels,
            channels,
            3,
            stride=stride,
            padding=spec.dilation,
            dilation=spec.dilation,
            groups=spec.num_groups,
            norm=get_norm(spec.norm, channels),
        )
        nn.init.zeros_(self.conv2_offset.weight)
        if self.conv2_offset.bias is not None:
            nn.init.zeros_(self.conv2_offset.bias)

    def _convolve_3x3(self, x: Tensor) -> Tensor:
        offset, mask = self.conv2_offset(x), None
        if self.modulated:
            first, second, mask_logits = offset.chunk(3, dim=1)
            offset, mask = torch.cat((first, second), dim=1), mask_logits.sigmoid()
        return F.relu_(self.conv2(x, offset, mask))


class Stem(nn.Module):
    """7x7 convolution of stride 2, norm, ReLU, 3x3 max pooling of stride 2."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, out_channels, 7, norm, stride=2, padding=3, relu=True)
        init_kaiming(self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / 4, W / 4)."""
        return F.max_pool2d(self.conv1(x), kernel_size=3, stride=2, padding=1)


class ResNet(Backbone):
    """A stem and up to four stages; stages after the last map of `out_features` are not built.

    freeze_at  0 trains everything, 1 freezes the stem, 2 the stem and res2, ...
    """

    def __init__(
        self,
        stem: Stem,
        stages: Sequence[StageSpec],
        *,
        out_features: Sequence[str],
        freeze_at: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.out_features = tuple(out_features)
        stride = 4
        self._shapes = {"stem": ShapeSpec(stem.conv1.out_channels, stride)}
        self.stage_names: list[str] = []
        for i, spec in enumerate(stages, start=2):
            name = f"res{i}"
            stride *= spec.stride
            self.add_module(name, make_stage(spec))
            self.stage_names.append(name)
            self._shapes[name] = ShapeSpec(spec.out_channels, stride)
        for name in ("stem", *self.stage_names)[:freeze_at]:
            freeze(self.get_submodule(name))

    def output_shape(self) -> dict[str, ShapeSpec]:
        """The maps of `out_features`."""
        return {name: self._shapes[name] for name in self.out_features}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) -> the maps of `out_features`."""
        maps = {}
        for name in ("stem", *self.stage_names):
            x = getattr(self, name)(x)
            if name in self.out_features:  # do not keep the other maps: they are large
                maps[name] = x
        return {name: maps[name] for name in self.out_features}


def freeze(module: nn.Module) -> None:
    """Exclude the parameters of `module` from training and freeze its batch norms."""
    for parameter in module.parameters():
        parameter.requires_grad = False
    freeze_batch_norm(module)


def build_resnet_backbone(cfg: CfgNode) -> ResNet:
    """Build the body that `MODEL.RESNETS` describes."""
    resnets = cfg.MODEL.RESNETS
    wanted = [int(name[3:]) for name in resnets.OUT_FEATURES if name.startswith("res")]
    stem = Stem(len(cfg.MODEL.PIXEL_MEAN), resnets.STEM_OUT_CHANNELS, resnets.NORM)
    body = ResNet(
        stem,
        stage_specs(cfg)[: max(wanted, default=1) - 1],
        out_features=resnets.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
    set_eps(body, resnets.NORM_EPS)
    return body


def stage_specs(cfg: CfgNode) -> list[StageSpec]:
    """Return the specifications of the four stages res2 .. res5 of `MODEL.RESNETS`."""
    resnets = cfg.MODEL.RESNETS
    specs = []
    in_channels, out_channels = resnets.STEM_OUT_CHANNELS, resnets.RES2_OUT_CHANNELS
    bottleneck_channels = resnets.NUM_GROUPS * resnets.WIDTH_PER_GROUP
    for i, num_blocks in enumerate(BLOCKS_PER_STAGE[resnets.DEPTH]):
        dilation = resnets.RES5_DILATION if i == 3 else 1
        specs.append(
            StageSpec(
                num_blocks,
                in_channels,
                out_channels,
                # Dilation replaces the stride of res5.
                stride=1 if i == 0 or dilation > 1 else 2,
                norm=resnets.NORM,
                bottleneck_channels=bottleneck_channels if resnets.DEPTH >= 50 else 0,
                num_groups=resnets.NUM_GROUPS,
                stride_in_1x1=resnets.STRIDE_IN_1X1,
                dilation=dilation,
                offset_groups=resnets.DEFORM_NUM_GROUPS * resnets.DEFORM_ON_PER_STAGE[i],
                modulated=resnets.DEFORM_MODULATED,
            )
        )
        in_channels, out_channels = out_channels, out_channels * 2
        bottleneck_channels *= 2
    return specs


def _conv(
    in_channels: int,
    out_channels: int,
    side: int,
    norm: str,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    relu: bool = False,
) -> Conv2d:
    return Conv2d(
        in_channels,
        out_channels,
        side,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=False,
        norm=get_norm(norm, out_channels),
        activation=F.relu_ if relu else None,
    )


def _init(*convs: nn.Module | None) -> None:
    # Called when all convolutions exist, shortcut last: seeded weights then equal detectron2's.
    for conv in convs:
        if conv is not None:
            init_kaiming(conv)
