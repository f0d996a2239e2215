"""Semantic segmentation on a feature pyramid (https://arxiv.org/abs/1901.02446).

N: images, C: classes, H, W: height, width of the network's padded input
"""

import math
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.errors import ConfigError, DatasetError
from app.engine.layers.conv import Conv2d, init_kaiming
from app.engine.layers.norm import get_norm
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.structures.boxes import Size
from app.engine.structures.image_list import ImageList
from app.engine.structures.moves import move
from app.engine.structures.sample import Sample


class SemSegFPNHead(nn.Module):
    """Upsamples all levels to one stride with convolutions, adds them and classifies pixels.

    ignore_value  label of the pixels that the loss ignores
    """

    def __init__(
        self,
        shapes: Mapping[str, ShapeSpec],
        *,
        num_classes: int,
        conv_dim: int,
        common_stride: int,
        norm: str = "GN",
        loss_weight: float = 1.0,
        ignore_value: int = 255,
    ) -> None:
        super().__init__()
        self.in_features = sorted(shapes, key=lambda name: shapes[name].stride)
        self.common_stride = common_stride
        self.loss_weight = loss_weight
        self.ignore_value = ignore_value
        for name in self.in_features:
            self.add_module(name, _scale_head(shapes[name], common_stride, conv_dim, norm))
        self.predictor = Conv2d(conv_dim, num_classes, 1)
        init_kaiming(self.predictor)

    @classmethod
    def from_config(cls, cfg: CfgNode, shapes: Mapping[str, ShapeSpec]) -> Self:
        """The head of `MODEL.SEM_SEG_HEAD`."""
        head = cfg.MODEL.SEM_SEG_HEAD
        return cls(
            {name: shapes[name] for name in head.IN_FEATURES},
            num_classes=head.NUM_CLASSES,
            conv_dim=head.CONVS_DIM,
            common_stride=head.COMMON_STRIDE,
            norm=head.NORM,
            loss_weight=head.LOSS_WEIGHT,
            ignore_value=head.IGNORE_VALUE,
        )

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Maps by name -> logits (N, C, H / common_stride, W / common_stride)."""
        first, *others = self.in_features
        total = self.get_submodule(first)(features[first])
        for name in others:
            total = total + self.get_submodule(name)(features[name])
        logits: Tensor = self.predictor(total)
        return logits

    def loss(self, features: Mapping[str, Tensor], targets: Tensor) -> Tensor:
        """Mean cross entropy with (N, H, W) int64 over the pixels not ignored; 0 if all are."""
        logits = self._enlarged(self(features))
        total = F.cross_entropy(logits, targets, ignore_index=self.ignore_value, reduction="sum")
        counted = (targets != self.ignore_value).sum().clamp(min=1)
        return total / counted * self.loss_weight

    def detect(
        self, features: Mapping[str, Tensor], sizes: Sequence[Size], original_sizes: Sequence[Size]
    ) -> list[Tensor]:
        """Logits of N images in their original sizes, without padding: (C, height, width)."""
        logits = self._enlarged(self(features))
        return [
            F.interpolate(
                of_image[None, :, : size[0], : size[1]],
                size=original,
                mode="bilinear",
                align_corners=False,
            )[0]
            for of_image, size, original in zip(logits, sizes, original_sizes, strict=True)
        ]

    def targets(
        self, samples: Sequence[Sample], size_divisibility: int, device: torch.device
    ) -> Tensor:
        """Labels of a batch, padded like the images: (N, H, W) int64."""
        labels = []
        for sample in samples:
            if sample.semantic is None:
                raise DatasetError(
                    f"image {sample.image_id} has no semantic labels; give a data set with "
                    "label images, or choose an architecture without a semantic head"
                )
            labels.append(move(sample.semantic, device).long())
        return ImageList.from_tensors(labels, size_divisibility, self.ignore_value).tensor

    def _enlarged(self, logits: Tensor) -> Tensor:
        return F.interpolate(
            logits.float(), scale_factor=self.common_stride, mode="bilinear", align_corners=False
        )


def _scale_head(shape: ShapeSpec, common_stride: int, conv_dim: int, norm: str) -> nn.Sequential:
    doublings = int(math.log2(shape.stride) - math.log2(common_stride))
    if doublings < 0:
        raise ConfigError(
            f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE is {common_stride}, but a map of IN_FEATURES has "
            f"stride {shape.stride}; lower it"
        )
    layers: list[nn.Module] = []
    for i in range(max(1, doublings)):
        conv = Conv2d(
            shape.channels if i == 0 else conv_dim,
            conv_dim,
            3,
            padding=1,
            bias=not norm,
            norm=get_norm(norm, conv_dim),
            activation=F.relu_,
        )
        init_kaiming(conv)
        layers.append(conv)
        if doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)
