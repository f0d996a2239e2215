"""Operators of ONNX in a form that torch can trace.

G: groups of boxes, C: classes of a group (of a map: channels), P: boxes of a group, M: crops
"""

from typing import Any

import torch
from onnxscript import opset18
from torch import Tensor
from torchvision.ops import nms, roi_align

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


@torch.library.custom_op("detection_export::crops", mutates_args=())
def crops(
    feature: Tensor,
    boxes: Tensor,
    images: Tensor,
    side: int,
    stride: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """RoIAlign: (N, C, H, W), (M, 4), (M,) int64 -> (M, C, side, side).

    torch's own operator has the number of the image in a float column beside the box.
    """
    rois = torch.cat((images[:, None].to(boxes.dtype), boxes), dim=1)
    size, scale = (side, side), 1.0 / stride
    cut: Tensor = roi_align(feature, rois, size, scale, sampling_ratio, aligned)
    return cut


@crops.register_fake
def _(
    feature: Tensor,
    boxes: Tensor,
    images: Tensor,
    side: int,
    stride: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    return feature.new_empty(boxes.shape[0], feature.shape[1], side, side)


def _crops(
    feature: Any,
    boxes: Any,
    images: Any,
    side: int,
    stride: int,
    sampling_ratio: int,
    aligned: bool,
) -> Any:
    """`crops` in ONNX."""
    return op.RoiAlign(
        feature,
        boxes,
        images,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        output_height=side,
        output_width=side,
        sampling_ratio=max(sampling_ratio, 0),
        spatial_scale=1.0 / stride,
    )


def _div(value: Any, count: Any, rounding_mode: str | None = None) -> Any:
    """Divide with rounding; torch's own translation divides integers as floats.

    Integers are places and counts, which are never negative: rounding down is ONNX's own.
    """
    assert rounding_mode == "floor"
    quotient = op.Div(value, count)
    return quotient if value.dtype.is_integer() else op.Floor(quotient)


TRANSLATIONS: dict[Any, Any] = {
    torch.ops.aten.div.Tensor_mode: _div,
    torch.ops.aten.div.Scalar_mode: _div,
    torch.ops.detection_export.nms_mask.default: _nms_mask,
    torch.ops.detection_export.crops.default: _crops,
}
"""Translations, of the custom operators and in place of torch's own, for torch's exporter."""
