"""Shared code of the bodies that are torchvision's classification networks."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from app.engine.config import CfgNode
from app.engine.errors import ConfigError
from app.engine.layers.conv import conv_norm
from app.engine.layers.norm import FrozenBatchNorm2d, SyncBatchNorm, freeze_batch_norm
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.backbones.resnet import freeze


@dataclass(frozen=True, slots=True)
class TapPoint:
    """The position of a feature map: the output of `features[index]`.

    inside  name of the layers of that block, of which the first one's output is meant: the widened
            map of an inverted residual that has no shortcut
    """

    index: int
    shape: ShapeSpec
    inside: str = ""


class FeaturesBackbone(Backbone):
    """The `features` of a torchvision network, up to the last map of `out_features`.

    freeze_at  0 trains all, 1 freezes the layers before stride 4, 2 also the first map, ...
    """

    def __init__(
        self,
        features: nn.Sequential,
        taps: dict[str, TapPoint],
        *,
        stem_length: int,
        out_features: Sequence[str],
        freeze_at: int,
    ) -> None:
        super().__init__()
        self.taps = {name: taps[name] for name in out_features}
        length = max(tap.index for tap in self.taps.values()) + 1
        self.features = features[:length]
        self._taps_at: list[dict[str, str]] = [
            {tap.inside: name for name, tap in self.taps.items() if tap.index == index}
            for index in range(length)
        ]
        _fold_frozen_norms(self.features)
        ends = [0, stem_length, *(tap.index + 1 for tap in taps.values())]
        for module in self.features[: ends[min(freeze_at, len(ends) - 1)]]:
            freeze(module)

    def output_shape(self) -> dict[str, ShapeSpec]:
        """The shapes of the maps of `out_features`."""
        return {name: tap.shape for name, tap in self.taps.items()}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) -> the maps of `out_features`."""
        maps = {}
        for module, here in zip(self.features, self._taps_at, strict=True):
            if inside := next(filter(None, here), ""):
                layers = module.get_submodule(inside)
                assert isinstance(layers, nn.Sequential)
                maps[here[inside]] = wide = layers[0](x)
                x = layers[1:](wide)
            else:
                x = module(x)
            if "" in here:
                maps[here[""]] = x
        return {name: maps[name] for name in self.taps}


def with_norm(features: nn.Sequential, name: str) -> nn.Sequential:
    """Replace the batch norms of `features` by the norm `name`; eps and momentum stay."""
    if name == "FrozenBN":
        freeze_batch_norm(features)
    elif name == "SyncBN":
        _synchronize(features)
    return features


def _synchronize(module: nn.Module) -> None:
    for name, child in module.named_children():
        _synchronize(child)
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, SyncBatchNorm(child.num_features, child.eps, child.momentum))


def require_three_channels(cfg: CfgNode) -> None:
    """Raise ConfigError if images do not have 3 channels."""
    if len(cfg.MODEL.PIXEL_MEAN) != 3:
        raise ConfigError(
            f"MODEL.PIXEL_MEAN has {len(cfg.MODEL.PIXEL_MEAN)} values, but "
            f"{cfg.MODEL.BACKBONE.NAME} takes images of 3 channels"
        )


class _FoldingSequential(nn.Sequential):
    """A Sequential that folds a frozen batch norm into the convolution before it."""

    def forward(self, input: Tensor) -> Tensor:
        modules = list(self)
        skip = False
        for module, after in zip(modules, [*modules[1:], None], strict=True):
            if skip:
                skip = False
            elif type(module) is nn.Conv2d and isinstance(after, FrozenBatchNorm2d):
                input, skip = conv_norm(module, after, input), True
            else:
                input = module(input)
        return input


def _fold_frozen_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        _fold_frozen_norms(child)
        kinds = [type(grandchild) for grandchild in child.children()]
        if isinstance(child, nn.Sequential) and nn.Conv2d in kinds:
            setattr(module, name, _FoldingSequential(*child))
