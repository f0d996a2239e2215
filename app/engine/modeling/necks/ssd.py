"""SSD's extra layers (arXiv:1512.02325): four coarser maps, each computed from the one before.

The maps of the body are handed on as they are, so levels differ in their channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.config.rules import BODY_NORM, FACTOR, MAX_WIDTH, SWITCH, listed, whole
from app.engine.config.traits import Neck
from app.engine.layers.norm import mobile_norm
from app.engine.layers.same_padding import SamePad
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbone import Backbone

TRAITS = Neck(
    extra_levels=4,
    section="MODEL.SSD_LAYERS",
    keys={
        "CHANNELS": (
            [512, 256, 256, 128],
            listed(whole(2, MAX_WIDTH), least=4, most=4),
        ),  # of the extra maps
        # 2 halves a map, 1 takes two cells off it, without padding
        "STRIDES": ([2, 2, 2, 2], listed(whole(1, 2), least=4, most=4)),
        # depthwise 3x3 convolutions with norms, as in SSDLite; False: plain ones with biases
        "SEPARABLE": (True, SWITCH),
        "NORM": ("BN", BODY_NORM),  # of separable layers
        # of separable layers that halve a map: torchvision's, or TensorFlow's `SAME`
        "PADDING": ("symmetric", ("symmetric", "same")),
        # start of the learnt length of the first map's vectors of channels; 0: not normalised
        "L2_SCALE": (0.0, FACTOR),
    },
)


class SSDLayers(Backbone):
    """A body, and extra layers on its last map.

    l2_scale  if not 0, the channels of the first map are scaled to this length at every cell,
              which is then learnt for each channel (arXiv:1506.04579)
    """

    def __init__(
        self,
        bottom_up: Backbone,
        extra: Sequence[nn.Module],
        *,
        in_features: Sequence[str],
        channels: Sequence[int],
        l2_scale: float = 0.0,
    ) -> None:
        super().__init__()
        shapes = [bottom_up.output_shape()[name] for name in in_features]
        self.bottom_up = bottom_up
        self.in_features = tuple(in_features)
        self.extra = nn.ModuleList(extra)
        if l2_scale:
            self.scale_weight = nn.Parameter(torch.full((shapes[0].channels,), l2_scale))
        for count, width in enumerate(channels, 1):
            shapes.append(ShapeSpec(width, shapes[len(in_features) - 1].stride << count))
        self._shapes = {f"p{shape.stride.bit_length() - 1}": shape for shape in shapes}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """All levels, finest first."""
        return dict(self._shapes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) -> maps p<k>."""
        of_body = self.bottom_up(x)
        maps: list[Tensor] = [of_body[name] for name in self.in_features]
        for layers in self.extra:
            maps.append(layers(maps[-1]))
        if hasattr(self, "scale_weight"):
            maps[0] = self.scale_weight.view(1, -1, 1, 1) * F.normalize(maps[0])
        return dict(zip(self._shapes, maps, strict=True))


def build_ssd_layers(cfg: CfgNode, bottom_up: Backbone) -> SSDLayers:
    """Build the layers of `MODEL.SSD_LAYERS` on the maps that `MODEL.FPN.IN_FEATURES` names."""
    layers, in_features = cfg.MODEL.SSD_LAYERS, cfg.MODEL.FPN.IN_FEATURES
    extra: list[nn.Module] = []
    channels = bottom_up.output_shape()[in_features[-1]].channels
    for width, stride in zip(layers.CHANNELS, layers.STRIDES, strict=True):
        if layers.SEPARABLE:
            extra.append(
                _separable(channels, width, stride, layers.NORM, same=layers.PADDING == "same")
            )
        else:
            extra.append(_plain(channels, width, stride))
        channels = width
    return SSDLayers(
        bottom_up,
        extra,
        in_features=in_features,
        channels=layers.CHANNELS,
        l2_scale=layers.L2_SCALE,
    )


def _plain(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    """A 1x1 convolution to half the channels, then a 3x3 one; each with a ReLU."""
    layers = nn.Sequential(
        nn.Conv2d(in_channels, channels // 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels // 2, channels, 3, stride, padding=stride - 1),
        nn.ReLU(inplace=True),
    )
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return layers


def _separable(
    in_channels: int, channels: int, stride: int, norm: str, *, same: bool
) -> nn.Sequential:
    """1x1 to half the channels, depthwise 3x3, 1x1; each with a norm and a ReLU6."""
    half, pads_itself = channels // 2, same and stride == 2
    padding = 0 if pads_itself else stride - 1
    parts = (
        nn.Conv2d(in_channels, half, 1, bias=False),
        nn.Conv2d(half, half, 3, stride, padding, groups=half, bias=False),
        nn.Conv2d(half, channels, 1, bias=False),
    )
    layers = nn.Sequential()
    for place, conv in enumerate(parts):
        nn.init.normal_(conv.weight, std=0.03)
        layer = nn.Sequential()
        if pads_itself and place == 1:
            layer.add_module("pad", SamePad())  # under a name: the numbers of the others stay
        layer.add_module("0", conv)
        layer.add_module("1", mobile_norm(norm, conv.out_channels))
        layer.add_module("2", nn.ReLU6(inplace=True))
        layers.append(layer)
    return layers
