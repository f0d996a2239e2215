"""Crop features inside boxes to a fixed size: RoIAlign and RoIPool on one or several maps.

N: images, L: levels, M: boxes of all images, C: channels, S: side of the output
"""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from app.engine.config import CfgNode
from app.engine.errors import ConfigError

# A box of 224 x 224 pixels (an ImageNet input) is cropped from stride 16 (FPN, eq. 1).
CANONICAL_SIDE = 224
CANONICAL_LEVEL = 4


class ROIPooler(nn.Module):
    """Crops each box from the level that fits its size.

    strides         of the L feature maps; each is twice the previous one
    side            S
    sampling_ratio  samples along each side of a bin; 0 takes about one for each cell
    pooler_type     ROIAlignV2 (exact positions), ROIAlign (shifted by half a cell), ROIPool
    """

    def __init__(
        self, strides: Sequence[int], *, side: int, sampling_ratio: int, pooler_type: str
    ) -> None:
        super().__init__()
        levels = [math.log2(stride) for stride in strides]
        if levels != [levels[0] + i for i in range(len(levels))] or levels[0] % 1:
            raise ConfigError(
                f"MODEL.ROI_HEADS.IN_FEATURES has maps of strides {list(strides)}; boxes can be "
                "shared out only among powers of two, each twice the one before"
            )
        self.strides = list(strides)
        self.side = side
        self.sampling_ratio = sampling_ratio
        self.pooler_type = pooler_type

    @classmethod
    def from_config(cls, head: CfgNode, strides: Sequence[int]) -> Self:
        """Build the pooler of the config section of a head (`MODEL.ROI_BOX_HEAD` ...)."""
        return cls(
            strides,
            side=head.POOLER_RESOLUTION,
            sampling_ratio=head.POOLER_SAMPLING_RATIO,
            pooler_type=head.POOLER_TYPE,
        )

    def forward(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """L maps (N, C, H, W) and boxes (M_i, 4) of N images -> (M, C, S, S), image by image."""
        rois = with_image_index(boxes)
        if len(self.strides) == 1:
            return self._pool(features[0], rois, self.strides[0])
        levels, first = assign_levels(rois[:, 1:], self.strides), features[0]
        pooled = first.new_zeros((len(rois), first.shape[1], self.side, self.side))
        every_level = torch.arange(len(features), device=levels.device)
        counts = (levels[:, None] == every_level).sum(dim=0).tolist()
        parts = torch.split(levels.argsort(stable=True), counts)
        for feature, stride, chosen in zip(features, self.strides, parts, strict=True):
            # Also for levels without boxes: every map must be part of the autograd graph.
            pooled.index_put_((chosen,), self._pool(feature, rois[chosen], stride))
        return pooled

    def _pool(self, feature: Tensor, rois: Tensor, stride: int) -> Tensor:
        from torchvision.ops import roi_align, roi_pool  # slow to import

        # Coordinates need float32: in half precision they would be wrong by pixels.
        size, wide, scale = (self.side, self.side), feature.float(), 1.0 / stride
        pooled: Tensor
        if self.pooler_type == "ROIPool":
            pooled = roi_pool(wide, rois, size, scale)
        else:
            aligned = self.pooler_type == "ROIAlignV2"
            pooled = roi_align(wide, rois, size, scale, self.sampling_ratio, aligned)
        return pooled.to(feature.dtype)


def with_image_index(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes (M_i, 4) of N images -> (M, 5): image index, x0, y0, x1, y1; on the CPU if N is 0."""
    if not boxes:
        return torch.zeros((0, 5))
    columns = [torch.full_like(image_boxes[:, :1], i) for i, image_boxes in enumerate(boxes)]
    return torch.cat((torch.cat(columns), torch.cat(list(boxes))), dim=1)


def assign_levels(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """Return the index of the map that each box is cropped from: (M, 4) -> (M,) int64 in [0, L)."""
    lowest = round(math.log2(strides[0]))
    sides = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    levels = torch.floor(CANONICAL_LEVEL + torch.log2(sides / CANONICAL_SIDE + 1e-8))
    return levels.clamp(lowest, lowest + len(strides) - 1).to(torch.int64) - lowest
