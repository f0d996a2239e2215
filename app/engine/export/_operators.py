"""Operators of ONNX in a form that torch can trace.

G: groups of boxes, C: classes of a group, P: boxes of a group, M: crops
"""

from typing import Any

import torch
from onnxscript import opset18
from torch import Tensor
from torchvision.ops import nms

OPSET = 18

op: Any = opset18  # its annotations are for script functions, not for traced ones


@torch.library.custom_op("detection_export::nms_mask", mutates_args=())
def nms_mask(boxes: Tensor, scores: Tensor, iou_threshold: float, limit: int) -> Tensor:
    """Return which boxes remain after NMS: (G, P, 4), (G, C, P) -> (G, C, P) bool.

    NMS works within each group and class; boxes with a score of 0 or less are absent. At most
    `limit` boxes of a group and class remain.
    """
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for group in range(len(scores)):
        for row in range(scores.shape[1]):
            present = (scores[group, row] > 0).nonzero()[:, 0]
            best = nms(boxes[group, present], scores[group, row, present], iou_threshold)
            kept[group, row, present[best[:limit]]] = True
    return kept


@nms_mask.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float, limit: int) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


def _nms_mask(boxes: Any, scores: Any, iou_threshold: float, limit: int) -> Any:
    """`nms_mask` in ONNX."""
    survivors = op.NonMaxSuppression(
        boxes,
        scores,
        op.Constant(value_ints=[limit]),
        op.Constant(value_floats=[iou_threshold]),
        op.Constant(value_floats=[0.0]),
    )
    # NonMaxSuppression returns rows of indices: group, class, box.
    ones = op.Cast(
        op.GreaterOrEqual(op.Gather(survivors, op.Constant(value_int=0), axis=1), 0), to=1
    )
    zeros = op.ConstantOfShape(op.Shape(scores))
    return op.Cast(op.ScatterND(zeros, survivors, ones), to=9)


TRANSLATIONS: dict[Any, Any] = {torch.ops.detection_export.nms_mask.default: _nms_mask}
"""Translations of the custom operators for torch's exporter."""
