"""Mask R-CNN's branch (https://arxiv.org/abs/1703.06870): a small mask inside each box.

M: boxes of all images, C: channels, S: side of the crop (the mask's is 2 S), K: classes
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.errors import DatasetError
from app.engine.layers.conv import Conv2d, init_kaiming, init_normal
from app.engine.layers.doubling import Doubling
from app.engine.layers.norm import get_norm
from app.engine.modeling.roi_heads.assignment import LabelledProposals


class MaskHead(nn.Module):
    """3x3 convolutions (with norm), a 2x2 deconvolution, one mask for each class or for all."""

    def __init__(
        self,
        in_channels: int,
        *,
        num_classes: int,
        num_conv: int,
        conv_dim: int,
        norm: str = "",
        class_agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.class_agnostic = class_agnostic
        channels = in_channels
        convs = []
        for i in range(num_conv):
            conv = Conv2d(
                channels,
                conv_dim,
                3,
                padding=1,
                bias=not norm,
                norm=get_norm(norm, conv_dim),
                activation=F.relu_,
            )
            self.add_module(f"mask_fcn{i + 1}", conv)
            convs.append(conv)
            channels = conv_dim
        self.deconv = Doubling(channels, conv_dim)
        self.predictor = _MaskPredictor(conv_dim, 1 if class_agnostic else num_classes, 1)
        for layer in (*convs, self.deconv):
            init_kaiming(layer)
        init_normal(self.predictor, std=0.001)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> Self:
        """The head of `MODEL.ROI_MASK_HEAD`."""
        head = cfg.MODEL.ROI_MASK_HEAD
        return cls(
            in_channels,
            num_classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            num_conv=head.NUM_CONV,
            conv_dim=head.CONV_DIM,
            norm=head.NORM,
            class_agnostic=head.CLS_AGNOSTIC_MASK,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(M, C, S, S) -> logits (M, K or 1, 2 S, 2 S)."""
        for layer in self.children():
            x = layer(x)
        return x

    def loss(self, x: Tensor, proposals: Sequence[LabelledProposals]) -> Tensor:
        """Cross entropy of the pixels of the true class's mask, mean over foreground proposals.

        (M, C, S, S) and the M proposals, foreground only -> scalar; 0 when there are none.
        """
        logits: Tensor = self(x).float()
        if not len(logits):
            return logits.sum() * 0.0
        classes = torch.cat([p.classes for p in proposals])
        targets = torch.cat([_targets(p, logits.shape[-1]) for p in proposals if len(p)])
        chosen = self._of_classes(logits, classes)
        return F.binary_cross_entropy_with_logits(chosen, targets.to(chosen.device, chosen.dtype))

    def detect(self, x: Tensor, classes: Tensor) -> Tensor:
        """(M, C, S, S), (M,) -> probability that a pixel is object: (M, 1, 2 S, 2 S)."""
        for name, layer in self.named_children():
            if name.startswith("mask_fcn"):
                x = layer(x)
        rows = torch.zeros_like(classes) if self.class_agnostic else classes
        cells = self.deconv.quarters(x)
        logits = self.predictor.of_classes(cells.flatten(1, 3), rows).float()
        # (M, S, S, 4) is each cell's own square of two by two.
        logits = logits.view(cells.shape[:-1]).permute(0, 3, 1, 2)
        return F.pixel_shuffle(logits, 2).sigmoid()

    def _of_classes(self, logits: Tensor, classes: Tensor) -> Tensor:
        if self.class_agnostic:
            return logits[:, 0]
        return logits[torch.arange(len(logits), device=logits.device), classes]


class _MaskPredictor(nn.Conv2d):
    """A pointwise convolution, of all classes or of one for each box."""

    def of_classes(self, cells: Tensor, classes: Tensor) -> Tensor:
        """(M, cells, C), (M,) -> (M, cells)."""
        assert self.bias is not None
        weight = self.weight.flatten(1)[classes].to(cells.dtype)
        return torch.bmm(weight[:, None], cells.mT)[:, 0] + self.bias[classes][:, None]


def _targets(proposals: LabelledProposals, side: int) -> Tensor:
    masks = proposals.ground_truth.masks
    if masks is None:
        raise DatasetError(
            "MODEL.MASK_ON is True, but an image has objects without masks; give data with "
            "segmentations or set MODEL.MASK_ON False"
        )
    return masks.crop_and_resize(proposals.boxes, side, proposals.matches)
