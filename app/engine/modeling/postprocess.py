"""Convert detections from the network's input to the original image."""

from dataclasses import replace

import torch

from app.engine.modeling.mask_paste import paste_masks
from app.engine.structures import boxes as box_ops
from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections


def to_original(detections: Detections, size: Size, original_size: Size) -> Detections:
    """Scale from `size` to `original_size`, clip boxes, drop empty ones, paste masks.

    Keypoints are scaled but not clipped: a joint may lie outside the image.
    """
    scale_y, scale_x = original_size[0] / size[0], original_size[1] / size[1]
    boxes = box_ops.clip(box_ops.scale(detections.boxes, scale_x, scale_y), original_size)
    keypoints = detections.keypoints
    if keypoints is not None:
        x, y, score = keypoints.unbind(dim=2)
        keypoints = torch.stack((x * scale_x, y * scale_y, score), dim=2)
    moved = replace(detections, image_size=original_size, boxes=boxes, keypoints=keypoints)
    kept = moved.select(box_ops.nonempty(boxes))
    if kept.masks is None:
        return kept
    return replace(kept, masks=paste_masks(kept.masks, kept.boxes, original_size))
