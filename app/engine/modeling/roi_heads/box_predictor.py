"""The last layer of the box branch: class logits and box deltas, their losses, and detections.

M: boxes of all images, K: foreground classes (background is K), k: K, or 1 if class-agnostic
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from app.engine.config import CfgNode
from app.engine.layers.conv import init_normal
from app.engine.modeling.box_regression import BoxCoder, BoxLoss
from app.engine.modeling.positives import sum_where, targets_where
from app.engine.modeling.roi_heads.assignment import LabelledProposals
from app.engine.modeling.roi_heads.class_loss import (
    ClassLoss,
    ClassLossSpec,
    SigmoidLoss,
    SoftmaxLoss,
    draw_federated_classes,
)
from app.engine.modeling.roi_heads.detection_filter import DetectionFilter
from app.engine.structures.detections import Detections
from app.engine.structures.targets import Proposals


class BoxPredictions(NamedTuple):
    """For M boxes: class logits (M, K + 1), background last, and box deltas (M, k * 4)."""

    logits: Tensor
    deltas: Tensor


@dataclass(frozen=True, slots=True)
class BoxPredictorSpec:
    """The parameters of a `BoxPredictor`, except the width of its input."""

    num_classes: int
    coder: BoxCoder
    class_loss: ClassLossSpec = field(default_factory=ClassLossSpec)
    box_loss: BoxLoss = field(default_factory=BoxLoss)
    box_loss_weight: float = 1.0
    class_agnostic: bool = False


class BoxPredictor(nn.Module):
    """Two linear layers, `cls_score` and `bbox_pred`.

    fed_loss_cls_weights  (K,) relative probability that the federated loss draws a class
    """

    fed_loss_cls_weights: Tensor

    def __init__(
        self,
        in_dim: int,
        spec: BoxPredictorSpec,
        *,
        detection_filter: DetectionFilter,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.detection_filter = detection_filter
        self.cls_score = nn.Linear(in_dim, spec.num_classes + 1)
        self.bbox_pred = nn.Linear(in_dim, 4 if spec.class_agnostic else 4 * spec.num_classes)
        init_normal(self.cls_score, std=0.01)
        init_normal(self.bbox_pred, std=0.001)
        if spec.class_loss.num_kept:
            self.register_buffer("fed_loss_cls_weights", torch.ones(spec.num_classes))

    @classmethod
    def from_config(
        cls, cfg: CfgNode, in_dim: int, *, box_weights: Sequence[float] | None = None
    ) -> Self:
        """The predictor of `MODEL.ROI_BOX_HEAD`; a cascade stage passes its own `box_weights`."""
        head = cfg.MODEL.ROI_BOX_HEAD
        spec = BoxPredictorSpec(
            num_classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            coder=BoxCoder(tuple(box_weights or head.BBOX_REG_WEIGHTS)),
            class_loss=ClassLossSpec.from_config(cfg),
            box_loss=BoxLoss(head.BBOX_REG_LOSS_TYPE, head.SMOOTH_L1_BETA),
            box_loss_weight=head.BBOX_REG_LOSS_WEIGHT,
            class_agnostic=head.CLS_AGNOSTIC_BBOX_REG,
        )
        return cls(in_dim, spec, detection_filter=DetectionFilter.from_config(cfg))

    @property
    def class_loss(self) -> ClassLoss:
        """The function that computes `loss_cls` and probabilities from logits."""
        spec = self.spec.class_loss
        if not spec.sigmoid:
            return SoftmaxLoss()
        if not spec.num_kept:
            return SigmoidLoss()
        return SigmoidLoss(
            lambda classes: draw_federated_classes(
                classes, self.fed_loss_cls_weights, spec.num_kept
            )
        )

    def set_image_counts(self, counts: Tensor) -> None:
        """Set the number of training images with each class (K,), for the federated loss."""
        if self.spec.class_loss.num_kept:
            odds = counts.float() ** self.spec.class_loss.frequency_power
            self.fed_loss_cls_weights.copy_(odds)

    def forward(self, x: Tensor) -> BoxPredictions:
        """(M, in_dim) -> logits and deltas in float32."""
        return BoxPredictions(self.cls_score(x).float(), self.bbox_pred(x).float())

    def losses(
        self, predictions: BoxPredictions, proposals: Sequence[LabelledProposals]
    ) -> dict[str, Tensor]:
        """`loss_cls`, the mean over all boxes, and `loss_box_reg`, the foreground sum / M."""
        classes = torch.cat([p.classes for p in proposals])
        return {
            "loss_cls": self.class_loss(predictions.logits, classes),
            "loss_box_reg": self._box_loss(predictions.deltas, classes, proposals),
        }

    def _box_loss(
        self, deltas: Tensor, classes: Tensor, proposals: Sequence[LabelledProposals]
    ) -> Tensor:
        is_foreground = (classes >= 0) & (classes < self.spec.num_classes)
        boxes = torch.cat([p.boxes for p in proposals])
        gt_boxes = torch.cat([p.gt_boxes for p in proposals])
        losses = self.spec.box_loss.each(
            self.spec.coder,
            self._deltas_of(deltas, classes),
            boxes,
            targets_where(is_foreground, gt_boxes, boxes),
        )
        loss = sum_where(is_foreground, losses)
        # Divided by the number of all boxes, not of foreground boxes: a foreground box then has
        # the same weight in images with few and with many objects.
        return loss / max(len(classes), 1) * self.spec.box_loss_weight

    def _deltas_of(self, deltas: Tensor, classes: Tensor) -> Tensor:
        """Select the deltas of each box's class (K - 1 if background): (M, k * 4) -> (M, 4)."""
        if self.spec.class_agnostic:
            return deltas
        known = classes.clamp(0, self.spec.num_classes - 1)
        every = torch.arange(len(deltas), device=deltas.device)
        return deltas.view(len(deltas), self.spec.num_classes, 4)[every, known]

    def probs(self, predictions: BoxPredictions) -> Tensor:
        """Class probabilities (M, K + 1); with sigmoid the background column is meaningless."""
        return self.class_loss.probs(predictions.logits)

    def refine(self, predictions: BoxPredictions, boxes: Tensor, classes: Tensor) -> Tensor:
        """Apply the deltas of `classes` (M,) (K - 1 if background) to `boxes` (M, 4)."""
        return self.spec.coder.decode(self._deltas_of(predictions.deltas, classes), boxes)

    def detect(
        self,
        predictions: BoxPredictions,
        proposals: Sequence[Proposals],
        *,
        probs: Tensor | None = None,
        keep_class_probs: bool = False,
    ) -> list[Detections]:
        """Return the detections of each image after NMS, in the network's input.

        `probs` replaces the predictor's own class probabilities.
        """
        probs = self.probs(predictions) if probs is None else probs
        counts = [len(p) for p in proposals]
        found = []
        for of_image, image_probs, deltas in zip(
            proposals,
            torch.split(probs, counts),
            torch.split(predictions.deltas, counts),
            strict=True,
        ):
            detections, kept = self.detection_filter(
                image_probs, deltas, of_image.boxes, of_image.image_size, self.spec.coder
            )
            if keep_class_probs:
                vectors = self.class_loss.class_vectors(image_probs)[kept]
                detections = replace(detections, class_probs=vectors)
            found.append(detections)
        return found
