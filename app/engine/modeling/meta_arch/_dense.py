"""Base of the one-stage detectors: head with two towers, anchor labels, loss normaliser.

N: images, K: classes, A: anchors at a cell, R: anchors of all levels, P: positive anchors
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from app.engine.layers.conv import Conv2d, SeparableConv2d, conv2d, init_normal
from app.engine.layers.focal import FocalLoss
from app.engine.layers.norm import PerLevelBatchNorm, get_norm
from app.engine.modeling.anchors import AnchorGenerator, AnchorGrid
from app.engine.modeling.backbones import Backbone
from app.engine.modeling.detector import Detector
from app.engine.modeling.meta_arch._dense_filter import by_anchor
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth


class DenseDetector(Detector):
    """A backbone and one head on some of its maps, which predicts something for each anchor."""

    def __init__(
        self,
        *,
        backbone: Backbone,
        head: nn.Module,
        in_features: Sequence[str],
        anchor_generator: AnchorGrid,
        num_classes: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ) -> None:
        super().__init__(
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            size_divisibility=backbone.size_divisibility,
        )
        self.backbone = backbone
        self.head = head
        self.in_features = tuple(in_features)
        self.anchor_generator = anchor_generator
        self.num_classes = num_classes

    def features(self, samples: list[Sample]) -> list[Tensor]:
        """Compute the maps (N, C, H, W) that the head gets, finest first."""
        maps = self.backbone(self.preprocess(samples).tensor)
        return [maps[name] for name in self.in_features]

    @abstractmethod
    def label_anchors(self, gt: GroundTruth, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Label anchors (R, 4) of an image with at least one object.

        Returns the class of each anchor (R,) int64: K for background, -1 for ignored; and the index
        of its object (R,) int64, which is meaningful only if the class is a foreground class.
        """

    @torch.no_grad()
    def labels(self, samples: list[Sample], anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Class of each anchor (N, R) as in `label_anchors`, and its object's box (N, R, 4)."""
        all_classes, all_boxes = [], []
        for sample in samples:
            assert sample.ground_truth is not None, "training samples carry their ground truth"
            gt = sample.ground_truth.to(anchors.device)
            if len(gt):
                classes, index = self.label_anchors(gt, anchors)
                boxes = gt.boxes[index]
            else:
                classes = index = anchors.new_full((len(anchors),), self.num_classes).long()
                boxes = torch.zeros_like(anchors)
            all_classes.append(classes)
            all_boxes.append(boxes)
        return torch.stack(all_classes), torch.stack(all_boxes)


class FocalDetector(DenseDetector):
    """A detector that counts every anchor, by the focal loss.

    loss_normalizer  moving average of the number of positive anchors, by which losses are
                     divided; the number in a single small batch is too noisy
    """

    anchor_generator: AnchorGenerator

    def __init__(
        self, *, focal_alpha: float, focal_gamma: float, loss_normalizer: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.focal_loss = FocalLoss(alpha=focal_alpha, gamma=focal_gamma)
        self.loss_normalizer: float | Tensor = loss_normalizer

    def training_state(self) -> dict[str, float]:
        """Return the current loss normaliser."""
        return {"loss_normalizer": float(self.loss_normalizer)}

    def load_training_state(self, state: dict[str, float]) -> None:
        """Continue with the loss normaliser of `training_state`."""
        self.loss_normalizer = state.get("loss_normalizer", self.loss_normalizer)

    def positives(self, classes: Tensor) -> Tensor:
        """Return a mask (N, R) of the foreground anchors, and update the loss normaliser."""
        is_positive = (classes >= 0) & (classes < self.num_classes)
        number = is_positive.sum().clamp(min=1).double()
        self.loss_normalizer = 0.9 * self.loss_normalizer + 0.1 * number
        return is_positive

    def normalized(self, loss: Tensor) -> Tensor:
        """Divide a sum over positive anchors by the loss normaliser."""
        return (loss / self.loss_normalizer).to(loss.dtype)

    def classification_loss(self, logits: Sequence[Tensor], classes: Tensor) -> Tensor:
        """Sum of the focal loss: levels (N, A * K, H, W), (N, R) -> scalar."""
        by_level = [by_anchor(level, self.num_classes) for level in logits]
        sizes = [level.shape[1] for level in by_level]
        parts = [
            self.focal_loss(level.flatten(0, 1), level_classes.flatten())
            for level, level_classes in zip(
                by_level, torch.split(classes, sizes, dim=1), strict=True
            )
        ]
        return torch.stack(parts).sum()


class DenseHead(nn.Module):
    """Two towers of 3x3 convolutions, for classes and for boxes, shared by all levels.

    norm  norm after every convolution of the towers, or ''; batch norms keep separate
          statistics for each level
    separable  separable convolutions in the towers and 1x1 convolutions after them
    """

    def __init__(
        self,
        *,
        num_levels: int,
        in_channels: int,
        channels: int,
        num_convs: int,
        num_anchors: int,
        num_classes: int,
        norm: str,
        prior_prob: float,
        separable: bool = False,
    ) -> None:
        super().__init__()
        cls_subnet, bbox_subnet = nn.Sequential(), nn.Sequential()
        for _ in range(num_convs):
            for subnet in (cls_subnet, bbox_subnet):
                subnet.append(conv2d(in_channels, channels, 3, padding=1, separable=separable))
                if norm:
                    subnet.append(_tower_norm(norm, channels, num_levels))
                subnet.append(nn.ReLU(inplace=True))
            in_channels = channels
        self.cls_subnet, self.bbox_subnet = cls_subnet, bbox_subnet
        side = 1 if separable else 3
        self.cls_score = Conv2d(in_channels, num_anchors * num_classes, side, padding=side // 2)
        self.bbox_pred = Conv2d(in_channels, num_anchors * 4, side, padding=side // 2)
        for module in (*cls_subnet, *bbox_subnet, self.cls_score, self.bbox_pred):
            if isinstance(module, nn.Conv2d | SeparableConv2d):
                init_normal(module, 0.01)
        # Initially every class has the prior probability; otherwise the first losses explode.
        assert self.cls_score.bias is not None
        nn.init.constant_(self.cls_score.bias, -math.log((1 - prior_prob) / prior_prob))

    def class_logits(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Logits (N, A * K, H, W) of each level; channels are ordered (anchor, class)."""
        return [self.level_logits(feature, level) for level, feature in enumerate(features)]

    def level_logits(self, feature: Tensor, level: int) -> Tensor:
        """`class_logits` of one level."""
        logits: Tensor = self.cls_score(_run(self.cls_subnet, feature, level))
        return logits

    def box_features(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The inputs (N, channels, H, W) of `bbox_pred` for each level."""
        return [_run(self.bbox_subnet, feature, level) for level, feature in enumerate(features)]

    def level_deltas(self, feature: Tensor, level: int) -> Tensor:
        """Deltas (N, A * 4, H, W) of one level."""
        deltas: Tensor = self.bbox_pred(_run(self.bbox_subnet, feature, level))
        return deltas


def _tower_norm(norm: str, channels: int, num_levels: int) -> nn.Module:
    if norm in ("BN", "SyncBN"):
        return PerLevelBatchNorm(num_levels, channels, sync=norm == "SyncBN")
    module = get_norm(norm, channels)
    assert module is not None
    return module


def _run(subnet: nn.Sequential, x: Tensor, level: int) -> Tensor:
    for module in subnet:
        x = module.normalize(x, level) if isinstance(module, PerLevelBatchNorm) else module(x)
    return x
