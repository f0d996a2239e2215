"""Feature pyramid (arXiv:1612.03144) on any body: maps p<k> of stride 2**k, equal channels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.config.feature_maps import pyramid_names
from app.engine.config.traits import Neck
from app.engine.layers.conv import Conv2d, conv2d, init_xavier
from app.engine.layers.norm import get_norm
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbone import Backbone

TRAITS = Neck(extra_levels=1)


class TopBlock(nn.Module, ABC):
    """Additional, coarser levels, computed from one map of the body or of the pyramid."""

    num_levels: int
    in_feature: str

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> `num_levels` maps; each halves the sides of the previous map."""


class LastLevelMaxPool(TopBlock):
    """One additional level: every second cell of the last level."""

    num_levels = 1

    def __init__(self, in_feature: str) -> None:
        super().__init__()
        self.in_feature = in_feature

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> one map of half the sides."""
        return [F.max_pool2d(x, kernel_size=1, stride=2, padding=0)]


class FPN(Backbone):
    """A body and a feature pyramid on some of its maps.

    in_features  maps of the body, finest first; each has twice the stride of the previous one, or
                 the same
    norm         the norm of the convolutions; if '', they have a bias instead
    average      take the mean of lateral and top-down path at each level, not the sum
    separable    the convolutions of the outputs are separable
    """

    def __init__(
        self,
        bottom_up: Backbone,
        *,
        in_features: Sequence[str],
        out_channels: int,
        norm: str = "",
        top_block: TopBlock | None = None,
        average: bool = False,
        separable: bool = False,
    ) -> None:
        super().__init__()
        shapes = bottom_up.output_shape()
        self.in_features = tuple(in_features)
        self.average = average
        strides = [shapes[name].stride for name in in_features]
        self.levels = [name.removeprefix("p") for name in pyramid_names(strides)]
        self.factors = [float(b // a) for a, b in pairwise(strides)]
        for name, level in zip(in_features, self.levels, strict=True):
            lateral = Conv2d(
                shapes[name].channels,
                out_channels,
                1,
                bias=norm == "",
                norm=get_norm(norm, out_channels),
            )
            output = conv2d(
                out_channels,
                out_channels,
                3,
                padding=1,
                bias=norm == "",
                norm=get_norm(norm, out_channels),
                separable=separable,
            )
            init_xavier(lateral)
            init_xavier(output)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)
        self.top_block = top_block
        self.bottom_up = bottom_up
        extra = top_block.num_levels if top_block else 0
        strides += [strides[-1] << 1 + level for level in range(extra)]
        self._shapes = {
            name: ShapeSpec(out_channels, stride)
            for name, stride in zip(pyramid_names(strides), strides, strict=True)
        }
        self._coarsest = strides[len(in_features) - 1]

    @property
    def size_divisibility(self) -> int:
        """Stride of the coarsest map taken from the body."""
        return self._coarsest

    def output_shape(self) -> dict[str, ShapeSpec]:
        """All levels, finest first."""
        return dict(self._shapes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) -> all levels, finest first."""
        bottom_up = self.bottom_up(x)
        maps: dict[str, Tensor] = {}
        above: Tensor | None = None
        factors = [1.0, *reversed(self.factors)]
        inputs = zip(reversed(self.in_features), reversed(self.levels), factors, strict=True)
        for name, level, factor in inputs:
            lateral = getattr(self, f"fpn_lateral{level}")
            is_needed = self.top_block is not None and name == self.top_block.in_feature
            below = bottom_up[name] if is_needed else bottom_up.pop(name)
            merged: Tensor = lateral(below)
            if above is not None:
                if factor > 1.0:
                    above = F.interpolate(above, scale_factor=factor, mode="nearest")
                merged += above
                if self.average:
                    merged = merged / 2
            del below  # the finest maps take most of the memory
            maps[f"p{level}"] = getattr(self, f"fpn_output{level}")(merged)
            above = merged
        if self.top_block is not None:
            name = self.top_block.in_feature
            top = self.top_block(bottom_up[name] if name in bottom_up else maps[name])
            maps |= dict(zip([*self._shapes][len(self.levels) :], top, strict=True))
        return {name: maps[name] for name in self._shapes}


def build_fpn(cfg: CfgNode, bottom_up: Backbone) -> FPN:
    """Build the pyramid of `MODEL.FPN` on `bottom_up`, with one pooled level on top."""
    return pyramid(cfg, bottom_up, LastLevelMaxPool(last_level(cfg, bottom_up)))


def last_level(cfg: CfgNode, bottom_up: Backbone) -> str:
    """The name of the coarsest level that is made from a map of the body."""
    shapes = bottom_up.output_shape()
    return pyramid_names([shapes[name].stride for name in cfg.MODEL.FPN.IN_FEATURES])[-1]


def pyramid(cfg: CfgNode, bottom_up: Backbone, top_block: TopBlock) -> FPN:
    """Build the pyramid of `MODEL.FPN` on `bottom_up` with the given `top_block`."""
    fpn = cfg.MODEL.FPN
    return FPN(
        bottom_up,
        in_features=fpn.IN_FEATURES,
        out_channels=fpn.OUT_CHANNELS,
        norm=fpn.NORM,
        top_block=top_block,
        average=fpn.FUSE_TYPE == "avg",
        separable=fpn.SEPARABLE,
    )
