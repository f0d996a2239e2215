"""Paste the small mask of each box into a mask of the whole image.

R: objects of one image, S: side of the small masks
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from app.engine.structures.boxes import Size

# Number of float pixels that are pasted at once on an accelerator.
_MAX_PIXELS = 256_000_000


def paste_masks(masks: Tensor, boxes: Tensor, size: Size) -> Tensor:
    """Stretch masks over their boxes: (R, 1, S, S) in [0, 1], (R, 4) -> (R, height, width) bool.

    A pixel belongs to the object when the mask, read bilinearly at the pixel's centre, is at
    least a half.
    """
    height, width = size
    pasted = torch.zeros((len(masks), height, width), dtype=torch.bool, device=masks.device)
    if masks.device.type == "cpu":
        # Paste each mask separately and only inside its box, because most objects are small.
        for i in range(len(masks)):
            x0, y0, x1, y1 = _reach(boxes[i], size)
            if x0 < x1 and y0 < y1:
                soft = _sample(masks[i : i + 1], boxes[i : i + 1], (x0, y0, x1, y1))
                pasted[i, y0:y1, x0:x1] = soft[0] >= 0.5
        return pasted
    step = max(1, _MAX_PIXELS // max(height * width, 1))
    for start in range(0, len(masks), step):
        piece = slice(start, start + step)
        pasted[piece] = _sample(masks[piece], boxes[piece], (0, 0, width, height)) >= 0.5
    return pasted


def _reach(box: Tensor, size: Size) -> tuple[int, int, int, int]:
    """The range of pixels that a mask in `box` can cover, as x0 y0 x1 y1."""
    x0, y0, x1, y1 = box.tolist()
    return (
        max(math.floor(x0) - 1, 0),
        max(math.floor(y0) - 1, 0),
        min(math.ceil(x1) + 1, size[1]),
        min(math.ceil(y1) + 1, size[0]),
    )


def _sample(masks: Tensor, boxes: Tensor, region: tuple[int, int, int, int]) -> Tensor:
    """Sample masks (R, 1, S, S) at the pixel centres of a region -> (R, h, w) float32."""
    x0, y0, x1, y1 = region
    x = torch.arange(x0, x1, device=masks.device, dtype=torch.float32) + 0.5
    y = torch.arange(y0, y1, device=masks.device, dtype=torch.float32) + 0.5
    # -1 and 1 are the edges of the box.
    x = (x - boxes[:, 0:1]) / (boxes[:, 2:3] - boxes[:, 0:1]) * 2 - 1
    y = (y - boxes[:, 1:2]) / (boxes[:, 3:4] - boxes[:, 1:2]) * 2 - 1
    grid = torch.stack(
        (
            x[:, None, :].expand(-1, y.shape[1], -1),
            y[:, :, None].expand(-1, -1, x.shape[1]),
        ),
        dim=3,
    )
    return F.grid_sample(masks.float(), grid, align_corners=False)[:, 0]
