"""Necks: to add one, add a file and a line in NECKS; every body can be combined with it."""

from collections.abc import Callable

from app.engine.config import CfgNode
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.necks.fpn import build_fpn
from app.engine.modeling.necks.retinanet_fpn import build_retinanet_fpn
from app.engine.modeling.necks.ssd import build_ssd_layers

__all__ = ["NECKS"]

NECKS: dict[str, Callable[[CfgNode, Backbone], Backbone]] = {
    "build_{}_fpn_backbone": build_fpn,
    "build_retinanet_{}_fpn_backbone": build_retinanet_fpn,
    "build_ssd_{}_backbone": build_ssd_layers,
}
"""The functions that build a neck, by `MODEL.BACKBONE.NAME`, where `{}` is the body's name."""
