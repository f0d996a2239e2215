"""The backbones of `MODEL.BACKBONE.NAME`: a body, with or without a neck.

To add a body, add a file and a line in BODIES; every neck can be combined with it.
"""

from collections.abc import Callable

from app.engine.config import CfgNode
from app.engine.config.backbone_names import combinations
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.backbones.efficientnet import build_efficientnet_backbone
from app.engine.modeling.backbones.mobilenet import build_mobilenetv2_backbone
from app.engine.modeling.backbones.mobilenetv3 import build_mobilenetv3_backbone
from app.engine.modeling.backbones.regnet import build_regnet_backbone
from app.engine.modeling.backbones.resnet import build_resnet_backbone
from app.engine.modeling.backbones.vgg import build_vgg_backbone
from app.engine.modeling.necks import NECKS

__all__ = ["BODIES", "Backbone", "build_backbone"]

BODIES: dict[str, Callable[[CfgNode], Backbone]] = {
    "resnet": build_resnet_backbone,
    "mobilenetv2": build_mobilenetv2_backbone,
    "mobilenetv3": build_mobilenetv3_backbone,
    "efficientnet": build_efficientnet_backbone,
    "regnet": build_regnet_backbone,
    "vgg": build_vgg_backbone,
}
"""The functions that build a body, by its name in `MODEL.BACKBONE.NAME`."""


def build_backbone(cfg: CfgNode) -> Backbone:
    """Build the body that `MODEL.BACKBONE.NAME` names, with its neck."""
    body, neck = combinations(BODIES, NECKS)[cfg.MODEL.BACKBONE.NAME]
    bottom_up = BODIES[body](cfg)
    return bottom_up if neck is None else NECKS[neck](cfg, bottom_up)
