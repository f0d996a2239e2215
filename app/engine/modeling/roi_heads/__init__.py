"""ROI heads: they predict class, box, mask and keypoints of each proposal."""

from collections.abc import Mapping

from app.engine.config import CfgNode
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.roi_heads.cascade import CascadeROIHeads
from app.engine.modeling.roi_heads.res5 import Res5ROIHeads
from app.engine.modeling.roi_heads.standard import StandardROIHeads

ROIHeads = StandardROIHeads | Res5ROIHeads

ROI_HEADS: dict[str, type[StandardROIHeads] | type[Res5ROIHeads]] = {
    "CascadeROIHeads": CascadeROIHeads,
    "Res5ROIHeads": Res5ROIHeads,
    "StandardROIHeads": StandardROIHeads,
}
"""The values of `MODEL.ROI_HEADS.NAME`."""


def build_roi_heads(cfg: CfgNode, shapes: Mapping[str, ShapeSpec]) -> ROIHeads:
    """Build the heads that `cfg` describes, for maps of the given shapes."""
    return ROI_HEADS[cfg.MODEL.ROI_HEADS.NAME].from_config(cfg, shapes)
