"""RetinaNet's feature pyramid (arXiv:1708.02002): two convolved levels on top, p6 and p7."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.config.traits import Neck
from app.engine.layers.conv import conv2d, init_xavier
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.necks.fpn import FPN, TopBlock, last_level, pyramid

TRAITS = Neck(extra_levels=2, has_top_block=True)


class LastLevelP6P7(TopBlock):
    """Two additional levels by strided convolutions of a map of the body or of the pyramid."""

    num_levels = 2

    def __init__(
        self, in_channels: int, out_channels: int, in_feature: str, *, separable: bool = False
    ) -> None:
        super().__init__()
        self.in_feature = in_feature
        halving: dict[str, Any] = {"stride": 2, "padding": 1, "separable": separable}
        self.p6 = conv2d(in_channels, out_channels, 3, **halving)
        self.p7 = conv2d(out_channels, out_channels, 3, **halving)
        for conv in (self.p6, self.p7):
            init_xavier(conv)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> maps of a half and a quarter of the sides."""
        p6 = _strided(self.p6, x)
        return [p6, _strided(self.p7, F.relu(p6))]


def _strided(conv: nn.Module, x: Tensor) -> Tensor:
    training = torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")
    if training and x.device.type == "cpu" and x.shape[-1] < 2:
        # torch 2.11 to 2.14 computes bfloat16 weight gradients of a map narrower than the stride
        # from uninitialised memory. Such maps come from images at most 64 pixels wide or very tall.
        with torch.autocast("cpu", enabled=False):
            narrow: Tensor = conv(x.float())
            return narrow
    result: Tensor = conv(x)
    return result


def build_retinanet_fpn(cfg: CfgNode, bottom_up: Backbone) -> FPN:
    """Build the pyramid of `MODEL.FPN` on `bottom_up`, with two convolved levels on top."""
    fpn, shapes = cfg.MODEL.FPN, bottom_up.output_shape()
    name = fpn.TOP_BLOCK_IN_FEATURE or fpn.IN_FEATURES[-1]
    is_level = name == last_level(cfg, bottom_up)
    channels = fpn.OUT_CHANNELS if is_level else shapes[name].channels
    top = LastLevelP6P7(channels, fpn.OUT_CHANNELS, name, separable=fpn.SEPARABLE)
    return pyramid(cfg, bottom_up, top)
