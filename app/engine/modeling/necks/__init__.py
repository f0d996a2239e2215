"""What stands on a body: a new neck is a file and its line in NECKS, and serves every body."""

from collections.abc import Callable

from app.engine.config import CfgNode
from app.engine.modeling.backbone import Backbone
from app.engine.modeling.necks.fpn import build_fpn
from app.engine.modeling.necks.retinanet_fpn import build_retinanet_fpn

__all__ = ["NECKS"]

NECKS: dict[str, Callable[[CfgNode, Backbone], Backbone]] = {
    "build_{}_fpn_backbone": build_fpn,
    "build_retinanet_{}_fpn_backbone": build_retinanet_fpn,
}
"""What `MODEL.BACKBONE.NAME` is with the body's name in place of `{}`."""
