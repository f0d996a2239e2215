"""Bodies: what `MODEL.BACKBONE.NAME` can name. A new one is a file and its lines in BACKBONES."""

from collections.abc import Callable

from app.engine.config import CfgNode
from app.engine.errors import ConfigError
from app.engine.modeling.backbones._base import Backbone
from app.engine.modeling.backbones.efficientnet import build_efficientnet_backbone
from app.engine.modeling.backbones.fpn import build_fpn, build_retinanet_fpn
from app.engine.modeling.backbones.mobilenet import build_mobilenetv2_backbone
from app.engine.modeling.backbones.regnet import build_regnet_backbone
from app.engine.modeling.backbones.resnet import build_resnet_backbone

__all__ = ["BACKBONES", "Backbone", "build_backbone"]

BACKBONES: dict[str, Callable[[CfgNode], Backbone]] = {
    "build_efficientnet_backbone": build_efficientnet_backbone,
    "build_efficientnet_fpn_backbone": lambda cfg: build_fpn(cfg, build_efficientnet_backbone(cfg)),
    "build_mobilenetv2_backbone": build_mobilenetv2_backbone,
    "build_mobilenetv2_fpn_backbone": lambda cfg: build_fpn(cfg, build_mobilenetv2_backbone(cfg)),
    "build_regnet_backbone": build_regnet_backbone,
    "build_regnet_fpn_backbone": lambda cfg: build_fpn(cfg, build_regnet_backbone(cfg)),
    "build_resnet_backbone": build_resnet_backbone,
    "build_resnet_fpn_backbone": lambda cfg: build_fpn(cfg, build_resnet_backbone(cfg)),
    "build_retinanet_efficientnet_fpn_backbone": lambda cfg: build_retinanet_fpn(
        cfg, build_efficientnet_backbone(cfg)
    ),
    "build_retinanet_mobilenetv2_fpn_backbone": lambda cfg: build_retinanet_fpn(
        cfg, build_mobilenetv2_backbone(cfg)
    ),
    "build_retinanet_regnet_fpn_backbone": lambda cfg: build_retinanet_fpn(
        cfg, build_regnet_backbone(cfg)
    ),
    "build_retinanet_resnet_fpn_backbone": lambda cfg: build_retinanet_fpn(
        cfg, build_resnet_backbone(cfg)
    ),
}


def build_backbone(cfg: CfgNode) -> Backbone:
    """The body that `MODEL.BACKBONE.NAME` names."""
    name = cfg.MODEL.BACKBONE.NAME
    if name not in BACKBONES:
        raise ConfigError(
            f"MODEL.BACKBONE.NAME {name!r} is unknown; choose one of {', '.join(BACKBONES)}"
        )
    return BACKBONES[name](cfg)
