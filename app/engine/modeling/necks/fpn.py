"""Feature pyramid (arXiv:1612.03144) on any body: maps p<k> of stride 2**k, equal channels."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.config.traits import Neck
from app.engine.layers.conv import Conv2d, init_xavier
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

    in_features  maps of the body, finest first; each has twice the stride of the previous one
    norm         the norm of the convolutions; if '', they have a bias instead
    average      take the mean of lateral and top-down path at each level, not the sum
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
    ) -> None:
        super().__init__()
        shapes = bottom_up.output_shape()
        self.in_features = tuple(in_features)
        self.average = average
        self.levels = [int(math.log2(shapes[name].stride)) for name in in_features]
        for name, level in zip(in_features, self.levels, strict=True):
            lateral = Conv2d(
                shapes[name].channels,
                out_channels,
                1,
                bias=norm == "",
                norm=get_norm(norm, out_channels),
            )
            output = Conv2d(
                out_channels,
                out_channels,
                3,
                padding=1,
                bias=norm == "",
                norm=get_norm(norm, out_channels),
            )
            init_xavier(lateral)
            init_xavier(output)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)
        self.top_block = top_block
        self.bottom_up = bottom_up
        last = self.levels[-1] + (top_block.num_levels if top_block else 0)
        self._shapes = {
            f"p{level}": ShapeSpec(out_channels, 2**level)
            for level in range(self.levels[0], last + 1)
        }

    @property
    def size_divisibility(self) -> int:
        """Stride of the coarsest map taken from the body."""
        return int(2 ** self.levels[-1])

    def output_shape(self) -> dict[str, ShapeSpec]:
        """All levels, finest first."""
        return dict(self._shapes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) -> all levels, finest first."""
        bottom_up = self.bottom_up(x)
        maps: dict[str, Tensor] = {}
        above: Tensor | None = None
        for name, level in zip(reversed(self.in_features), reversed(self.levels), strict=True):
            lateral = getattr(self, f"fpn_lateral{level}")
            is_needed = self.top_block is not None and name == self.top_block.in_feature
            below = bottom_up[name] if is_needed else bottom_up.pop(name)
            merged: Tensor = lateral(below)
            if above is not None:
                merged += F.interpolate(above, scale_factor=2.0, mode="nearest")
                if self.average:
                    merged = merged / 2
            del below  # the finest maps take most of the memory
            maps[f"p{level}"] = getattr(self, f"fpn_output{level}")(merged)
            above = merged
        if self.top_block is not None:
            name = self.top_block.in_feature
            top = self.top_block(bottom_up[name] if name in bottom_up else maps[name])
            maps |= {f"p{self.levels[-1] + 1 + i}": extra for i, extra in enumerate(top)}
        return {name: maps[name] for name in self._shapes}


def build_fpn(cfg: CfgNode, bottom_up: Backbone) -> FPN:
    """Build the pyramid of `MODEL.FPN` on `bottom_up`, with one pooled level on top."""
    last_stride = bottom_up.output_shape()[cfg.MODEL.FPN.IN_FEATURES[-1]].stride
    return pyramid(cfg, bottom_up, LastLevelMaxPool(f"p{int(math.log2(last_stride))}"))


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
    )
