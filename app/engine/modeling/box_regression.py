"""Box regression: deltas from an anchor or proposal to a box, and the losses on them.

N: number of boxes, k: boxes predicted for each (1, or one for each class).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from app.engine.layers.losses import IOU_LOSSES, smooth_l1_loss

# A side cannot grow by more than 1000 / 16 in one step: this keeps exp() finite.
MAX_LOG_SCALE = math.log(1000.0 / 16)


class Coder(Protocol):
    """Turns pairs of boxes into deltas and back."""

    def encode(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """Deltas that lead from `boxes` to `gt_boxes`: (N, 4), (N, 4) -> (N, 4)."""
        ...

    def decode(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Boxes that lie `deltas` away from `boxes`: (N, k * 4), (N, 4) -> (N, k * 4)."""
        ...


@dataclass(frozen=True)
class BoxCoder:
    """R-CNN's deltas: centre shift / side and log of the ratio of sides, times `weights`."""

    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)

    def encode(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """(N, 4), (N, 4) -> (N, 4). The sides of `boxes` must be positive."""
        width, height, x, y = _sides_and_center(boxes)
        gt_width, gt_height, gt_x, gt_y = _sides_and_center(gt_boxes)
        wx, wy, ww, wh = self.weights
        return torch.stack(
            (
                wx * (gt_x - x) / width,
                wy * (gt_y - y) / height,
                ww * torch.log(gt_width / width),
                wh * torch.log(gt_height / height),
            ),
            dim=1,
        )

    def decode(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """(N, k * 4), (N, 4) -> (N, k * 4), always in float32."""
        deltas = deltas.float()
        sides_and_center = _sides_and_center(boxes.to(deltas.dtype))
        width, height, x, y = (value[:, None] for value in sides_and_center)
        wx, wy, ww, wh = self.weights
        new_x = deltas[:, 0::4] / wx * width + x
        new_y = deltas[:, 1::4] / wy * height + y
        half_width = 0.5 * (torch.exp((deltas[:, 2::4] / ww).clamp(max=MAX_LOG_SCALE)) * width)
        half_height = 0.5 * (torch.exp((deltas[:, 3::4] / wh).clamp(max=MAX_LOG_SCALE)) * height)
        corners = (new_x - half_width, new_y - half_height, new_x + half_width, new_y + half_height)
        return torch.stack(corners, dim=-1).reshape(deltas.shape)


@dataclass(frozen=True)
class LinearBoxCoder:
    """FCOS's deltas: distances from the centre to the left, top, right, bottom edge / side."""

    def encode(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """(N, 4), (N, 4) -> (N, 4). Negative where the centre lies outside the box."""
        width, height, x, y = _sides_and_center(boxes)
        left, top, right, bottom = gt_boxes.unbind(dim=1)
        return torch.stack(
            ((x - left) / width, (y - top) / height, (right - x) / width, (bottom - y) / height),
            dim=1,
        )

    def decode(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """(N, k * 4), (N, 4) -> (N, k * 4) float32. Negative distances count as 0."""
        deltas = F.relu(deltas.float())
        sides_and_center = _sides_and_center(boxes.to(deltas.dtype))
        width, height, x, y = (value[:, None] for value in sides_and_center)
        corners = (
            x - deltas[:, 0::4] * width,
            y - deltas[:, 1::4] * height,
            x + deltas[:, 2::4] * width,
            y + deltas[:, 3::4] * height,
        )
        return torch.stack(corners, dim=-1).reshape(deltas.shape)


@dataclass(frozen=True)
class BoxLoss:
    """The localisation loss, summed over boxes: of deltas (smooth_l1) or of boxes (IoU losses)."""

    kind: str = "smooth_l1"
    beta: float = 0.0

    def __call__(self, coder: Coder, deltas: Tensor, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """Predicted deltas (N, 4) from `boxes` (N, 4) towards `gt_boxes` (N, 4) -> scalar."""
        return self.each(coder, deltas, boxes, gt_boxes).sum()

    def each(self, coder: Coder, deltas: Tensor, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """Return the terms of the sum: (N, 4) of smooth_l1, (N,) of an IoU loss."""
        if self.kind == "smooth_l1":
            targets = coder.encode(boxes, gt_boxes)
            return smooth_l1_loss(deltas, targets, beta=self.beta)
        decoded = coder.decode(deltas, boxes)
        return IOU_LOSSES[self.kind](decoded, gt_boxes)


def _sides_and_center(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return width, height, boxes[:, 0] + 0.5 * width, boxes[:, 1] + 0.5 * height
