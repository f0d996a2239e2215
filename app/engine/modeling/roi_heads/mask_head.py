"""Mask R-CNN's branch (https://arxiv.org/abs/1703.06870): a small mask inside each box.

M: boxes of all images, C: channels, S: side of the crop (masks have 2 S), K: classes
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.errors import DatasetError
from app.engine.layers.conv import Conv2d, init_kaiming, init_normal
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
        self.deconv = nn.ConvTranspose2d(channels, conv_dim, 2, stride=2)
        self.predictor = nn.Conv2d(conv_dim, 1 if class_agnostic else num_classes, 1)
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
        *convs, deconv, predictor = self.children()
        for conv in convs:
            x = conv(x)
        logits: Tensor = predictor(F.relu_(deconv(x)))
        return logits

    def loss(self, x: Tensor, proposals: Sequence[LabelledProposals]) -> Tensor:
        """Mean pixel-wise cross entropy of the true class's masks of foreground proposals.

        (M, C, S, S) and the M foreground proposals -> scalar; 0 if there are none.
        """
        logits: Tensor = self(x).float()
        if not len(logits):
            return logits.sum() * 0.0
        classes = torch.cat([p.classes for p in proposals])
        targets = torch.cat([_targets(p, logits.shape[-1]) for p in proposals if len(p)])
        chosen = self._of_classes(logits, classes)[:, 0]
        return F.binary_cross_entropy_with_logits(chosen, targets.to(chosen.device, chosen.dtype))

    def detect(self, x: Tensor, classes: Tensor) -> Tensor:
        """(M, C, S, S), (M,) -> probability of an object pixel: (M, 1, 2 S, 2 S)."""
        return self._of_classes(self(x).float(), classes).sigmoid()

    def _of_classes(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Select the mask of each box's class: (M, K or 1, 2 S, 2 S), (M,) -> (M, 1, 2 S, 2 S)."""
        if self.class_agnostic:
            return logits
        return logits.gather(1, classes[:, None, None, None].expand(-1, 1, *logits.shape[2:]))


def _targets(proposals: LabelledProposals, side: int) -> Tensor:
    masks = proposals.ground_truth.masks
    if masks is None:
        raise DatasetError(
            "MODEL.MASK_ON is True, but an image has objects without masks; give data with "
            "segmentations or set MODEL.MASK_ON False"
        )
    return masks.crop_and_resize(proposals.boxes, side, proposals.matches)
