"""Box geometry. A box is x0 y0 x1 y1 in absolute pixels (XYXY_ABS); its width is x1 - x0.

N, M: numbers of boxes. A size is (height, width).
"""

import torch
from torch import Tensor

from app.engine.structures.size import Size as Size


def area(boxes: Tensor) -> Tensor:
    """Areas in square pixels: (N, 4) -> (N,). Negative when one side is inverted."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def scale(boxes: Tensor, scale_x: float, scale_y: float) -> Tensor:
    """Multiply x by `scale_x` and y by `scale_y`: (..., 4) -> (..., 4)."""
    # In-place factors need no tensor, whose copy to a GPU would have to be waited for.
    scaled = boxes.clone()
    scaled[..., 0::2] *= scale_x
    scaled[..., 1::2] *= scale_y
    return scaled


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Move every corner into the image: (..., 4) -> (..., 4). Boxes outside become empty."""
    height, width = size
    x = boxes[..., 0::2].clamp(min=0, max=width)
    y = boxes[..., 1::2].clamp(min=0, max=height)
    return torch.stack((x[..., 0], y[..., 0], x[..., 1], y[..., 1]), dim=-1)


def nonempty(boxes: Tensor, threshold: float = 0.0) -> Tensor:
    """Mask of boxes with both sides above `threshold` pixels: (..., 4) -> (...) bool."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return (sides > threshold).all(dim=-1)


def centers(boxes: Tensor) -> Tensor:
    """Centre points x y: (N, 4) -> (N, 2)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def inside(boxes: Tensor, size: Size, margin: float = 0.0) -> Tensor:
    """Mask of boxes that leave the image by less than `margin` pixels: (N, 4) -> (N,) bool."""
    height, width = size
    return (
        (boxes[:, 0] >= -margin)
        & (boxes[:, 1] >= -margin)
        & (boxes[:, 2] < width + margin)
        & (boxes[:, 3] < height + margin)
    )


def pairwise_intersection(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection areas of every pair: (N, 4), (M, 4) -> (N, M). 0 for disjoint boxes."""
    # Contiguous (N, M) values, one coordinate at a time, are several times faster than (N, M, 2).
    x0, y0, x1, y1 = boxes2.t().contiguous()
    width = torch.minimum(boxes1[:, 2:3], x1) - torch.maximum(boxes1[:, 0:1], x0)
    height = torch.minimum(boxes1[:, 3:4], y1) - torch.maximum(boxes1[:, 1:2], y0)
    return width.clamp_(min=0) * height.clamp_(min=0)


def pairwise_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every pair: (N, 4), (M, 4) -> (N, M). 0 for disjoint boxes."""
    intersection = pairwise_intersection(boxes1, boxes2)
    union = area(boxes1)[:, None] + area(boxes2) - intersection
    return torch.where(intersection > 0, intersection / union, intersection.new_zeros(()))


def pairwise_ioa(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Share of each box of `boxes2` covered by each of `boxes1`: (N, 4), (M, 4) -> (N, M)."""
    intersection = pairwise_intersection(boxes1, boxes2)
    return torch.where(intersection > 0, intersection / area(boxes2), intersection.new_zeros(()))


def box_xywh_to_box(box_xywh: Tensor) -> Tensor:
    """x y width height -> x0 y0 x1 y1: (..., 4) -> (..., 4)."""
    return torch.cat((box_xywh[..., :2], box_xywh[..., :2] + box_xywh[..., 2:]), dim=-1)


def box_to_box_xywh(boxes: Tensor) -> Tensor:
    """x0 y0 x1 y1 -> x y width height: (..., 4) -> (..., 4)."""
    return torch.cat((boxes[..., :2], boxes[..., 2:] - boxes[..., :2]), dim=-1)
