"""Keypoint R-CNN's branch (https://arxiv.org/abs/1703.06870, section 5): heatmaps.

M: boxes of all images, J: keypoints of an object, C: channels, S: side of the heatmaps
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.errors import DatasetError
from app.engine.layers.conv import Conv2d, init_kaiming
from app.engine.modeling.roi_heads.assignment import LabelledProposals


class KeypointHead(nn.Module):
    """3x3 convolutions, a 4x4 deconvolution of stride 2, and bilinear upsampling by 2.

    loss_divisor  divisor of the loss for each image; 0 means the number of visible keypoints
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_keypoints: int,
        conv_dims: Sequence[int],
        loss_weight: float = 1.0,
        loss_divisor: float = 0.0,
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_divisor = loss_divisor
        channels = in_channels
        for i, dim in enumerate(conv_dims):
            self.add_module(
                f"conv_fcn{i + 1}", Conv2d(channels, dim, 3, padding=1, activation=F.relu_)
            )
            channels = dim
        self.score_lowres = nn.ConvTranspose2d(channels, num_keypoints, 4, stride=2, padding=1)
        for layer in self.children():
            init_kaiming(layer)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> Self:
        """The head of `MODEL.ROI_KEYPOINT_HEAD`."""
        head, heads = cfg.MODEL.ROI_KEYPOINT_HEAD, cfg.MODEL.ROI_HEADS
        most_visible = head.NUM_KEYPOINTS * heads.BATCH_SIZE_PER_IMAGE * heads.POSITIVE_FRACTION
        return cls(
            in_channels,
            num_keypoints=head.NUM_KEYPOINTS,
            conv_dims=head.CONV_DIMS,
            loss_weight=head.LOSS_WEIGHT,
            loss_divisor=0.0 if head.NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS else most_visible,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(M, C, S / 4, S / 4) -> logits (M, J, S, S)."""
        for layer in self.children():
            x = layer(x)
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)

    def loss(self, x: Tensor, proposals: Sequence[LabelledProposals]) -> Tensor:
        """Cross entropy over the cells of each visible keypoint's heatmap -> scalar.

        `proposals` are the M foreground ones (`with_visible_keypoints`); 0 when none is visible.
        """
        logits: Tensor = self(x).float()
        keypoints = [matched_keypoints(p) for p in proposals if len(p)]
        if not keypoints:
            return logits.sum() * 0.0
        boxes = torch.cat([p.boxes for p in proposals])
        cells, valid = keypoints_to_cells(torch.cat(keypoints), boxes, logits.shape[-1])
        chosen = logits.flatten(2)[valid]
        loss = F.cross_entropy(chosen, cells[valid], reduction="sum")
        divisor = self.loss_divisor * len(proposals) or max(len(chosen), 1)
        return loss / divisor * self.loss_weight


def matched_keypoints(proposals: LabelledProposals) -> Tensor:
    """Keypoints of the matched object of each proposal: (P, J, 3)."""
    keypoints = proposals.ground_truth.keypoints
    if keypoints is None:
        raise DatasetError(
            "MODEL.KEYPOINT_ON is True, but an image has objects without keypoints; give data "
            "with keypoints or set MODEL.KEYPOINT_ON False"
        )
    return keypoints[proposals.matches]


def with_visible_keypoints(proposals: LabelledProposals) -> LabelledProposals:
    """Keep the foreground proposals that contain a visible keypoint of their object."""
    if not len(proposals):
        return proposals
    x, y, visibility = matched_keypoints(proposals).unbind(dim=2)
    x0, y0, x1, y1 = (side[:, None] for side in proposals.boxes.unbind(dim=1))
    held = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1) & (visibility >= 1)
    return proposals.select(held.any(dim=1).nonzero()[:, 0])


def keypoints_to_cells(keypoints: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Heatmap cell of each keypoint, and whether it is visible and inside its box.

    (M, J, 3), (M, 4) -> (M, J) int64 in [0, side * side), (M, J) bool. Points on the right or
    bottom edge belong to the last cell.
    """
    corner, far_corner = boxes[:, None, :2], boxes[:, None, 2:]
    points = keypoints[..., :2]
    cells = ((points - corner) * (side / (far_corner - corner))).floor().long()
    cells = torch.where(points == far_corner, side - 1, cells)
    valid = ((cells >= 0) & (cells < side)).all(dim=2) & (keypoints[..., 2] > 0)
    return (cells[..., 1] * side + cells[..., 0]) * valid, valid


def heatmaps_to_keypoints(logits: Tensor, boxes: Tensor) -> Tensor:
    """Most likely point of each heatmap, resized to its box: (M, J, S, S), (M, 4) -> (M, J, 3).

    The score is a softmax. The numerator is from the resized map and the denominator sums over
    the original map, so that scores of objects of different size are comparable.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    found = logits.new_zeros((*logits.shape[:2], 3))
    # Box by box, because sizes differ and the resized maps are large.
    for i, (width, height) in enumerate(sides.ceil().int().tolist()):
        stretched = F.interpolate(
            logits[i : i + 1], size=(height, width), mode="bicubic", align_corners=False
        )
        best, cell = stretched[0].flatten(1).max(dim=1)
        found[i, :, 0] = cell % width
        found[i, :, 1] = cell // width
        # exp(best - best) is 1.
        found[i, :, 2] = 1.0 / (logits[i] - best[:, None, None]).exp().sum(dim=(1, 2))
    stretch = (sides / sides.ceil())[:, None]
    found[..., :2] = (found[..., :2] + 0.5) * stretch + boxes[:, None, :2]
    return found
