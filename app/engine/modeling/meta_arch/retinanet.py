"""RetinaNet: a one-stage detector with anchors on every level and the focal loss.

N: images, K: classes, A: anchors at a cell, R: anchors of all levels
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from app.engine.config import CfgNode
from app.engine.config.traits import Architecture
from app.engine.modeling.anchors import AnchorGenerator
from app.engine.modeling.backbone import shared_shapes
from app.engine.modeling.backbones import build_backbone
from app.engine.modeling.box_regression import BoxCoder, BoxLoss
from app.engine.modeling.matcher import Matcher
from app.engine.modeling.meta_arch._dense import DenseHead, FocalDetector
from app.engine.modeling.meta_arch._dense_filter import (
    BestPairs,
    DenseFilter,
    best_pairs,
    by_anchor,
    decode,
    take,
)
from app.engine.modeling.positives import sum_where, targets_where
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth

TRAITS = Architecture(
    in_features=("MODEL.RETINANET",),
    anchored=("MODEL.RETINANET",),
    classes="MODEL.RETINANET",
    norms={"MODEL.RETINANET.NORM": ("MODEL.RETINANET.CONV_DIM", "MODEL.FPN.OUT_CHANNELS")},
    has_graph=True,
)


class RetinaNet(FocalDetector):
    """RetinaNet (https://arxiv.org/abs/1708.02002)."""

    head: DenseHead

    def __init__(
        self,
        *,
        coder: BoxCoder,
        matcher: Matcher,
        box_loss: BoxLoss,
        detection_filter: DenseFilter,
        **kwargs: Any,
    ) -> None:
        super().__init__(loss_normalizer=100.0, **kwargs)
        self.coder = coder
        self.matcher = matcher
        self.box_loss = box_loss
        self.detection_filter = detection_filter

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the model that `MODEL.RETINANET` describes."""
        retinanet = cfg.MODEL.RETINANET
        backbone = build_backbone(cfg)
        shapes = shared_shapes("MODEL.RETINANET", retinanet.IN_FEATURES, backbone.output_shape())
        anchor_generator = AnchorGenerator.from_config(cfg, [shape.stride for shape in shapes])
        head = DenseHead(
            num_levels=len(shapes),
            in_channels=shapes[0].channels,
            channels=retinanet.CONV_DIM or shapes[0].channels,
            num_convs=retinanet.NUM_CONVS,
            num_anchors=anchor_generator.num_anchors[0],  # as many at every level
            num_classes=retinanet.NUM_CLASSES,
            norm=retinanet.NORM,
            prior_prob=retinanet.PRIOR_PROB,
            separable=retinanet.SEPARABLE,
        )
        return cls(
            backbone=backbone,
            head=head,
            in_features=retinanet.IN_FEATURES,
            anchor_generator=anchor_generator,
            coder=BoxCoder(tuple(retinanet.BBOX_REG_WEIGHTS)),
            matcher=Matcher(
                retinanet.IOU_THRESHOLDS, retinanet.IOU_LABELS, allow_low_quality_matches=True
            ),
            box_loss=BoxLoss(retinanet.BBOX_REG_LOSS_TYPE, retinanet.SMOOTH_L1_LOSS_BETA),
            num_classes=retinanet.NUM_CLASSES,
            focal_alpha=retinanet.FOCAL_LOSS_ALPHA,
            focal_gamma=retinanet.FOCAL_LOSS_GAMMA,
            detection_filter=DenseFilter(
                score_thresh=retinanet.SCORE_THRESH_TEST,
                topk=retinanet.TOPK_CANDIDATES_TEST,
                nms_thresh=retinanet.NMS_THRESH_TEST,
                max_detections=cfg.TEST.DETECTIONS_PER_IMAGE,
                clip_first=retinanet.CLIP_BEFORE_NMS,
            ),
            pixel_mean=cfg.MODEL.PIXEL_MEAN,
            pixel_std=cfg.MODEL.PIXEL_STD,
        )

    def predict(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Class logits (N, A * K, H, W) and deltas (N, A * 4, H, W) of each level."""
        logits = self.head.class_logits(features)
        return logits, [self.head.bbox_pred(x) for x in self.head.box_features(features)]

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """`loss_cls` (focal) and `loss_box_reg`, divided by the loss normaliser."""
        features = self.features(samples)
        anchors = torch.cat(self.anchor_generator(features))
        classes, gt_boxes = self.labels(samples, anchors)
        is_positive = self.positives(classes)
        logits = self.head.class_logits(features)
        return {
            "loss_cls": self.normalized(self.classification_loss(logits, classes)),
            "loss_box_reg": self.normalized(
                self.box_losses(features, anchors, gt_boxes, is_positive)
            ),
        }

    def box_losses(
        self, features: Sequence[Tensor], anchors: Tensor, gt_boxes: Tensor, is_positive: Tensor
    ) -> Tensor:
        """Sum the loss of positive anchors: L maps, (R, 4), (N, R, 4), (N, R) bool -> scalar."""
        maps = [self.head.bbox_pred(x) for x in self.head.box_features(features)]
        deltas = torch.cat([by_anchor(level, 4) for level in maps], dim=1).flatten(0, 1)
        boxes = anchors.expand_as(gt_boxes).flatten(0, 1)
        targets = targets_where(is_positive.flatten(), gt_boxes.flatten(0, 1), boxes)
        losses = self.box_loss.each(self.coder, deltas.float(), boxes, targets)
        return sum_where(is_positive.flatten(), losses)

    @torch.no_grad()
    def detect(self, samples: list[Sample]) -> list[Detections]:
        """At most `max_detections` detections of each image, in pixels of the original."""
        features = self.features(samples)
        all_logits, all_deltas, all_anchors, all_classes, all_probs = [], [], [], [], []
        # Level by level, because the logits of the finest level take most of the memory.
        for level, anchors in enumerate(self.anchor_generator(features)):
            logits = by_anchor(self.head.level_logits(features[level], level), self.num_classes)
            best = best_pairs(logits, self.detection_filter.topk)  # logits sort like scores
            if self.keep_class_probs:
                all_probs.append(take(logits, best.anchors).float().sigmoid())
            del logits
            all_logits.append(best.scores)
            all_deltas.append(self.deltas_of(features[level], level, best))
            all_anchors.append(anchors[best.anchors])
            all_classes.append(best.classes)
        return self.detection_filter(
            samples,
            boxes=decode(self.coder, torch.cat(all_deltas, dim=1), torch.cat(all_anchors, dim=1)),
            scores=torch.cat(all_logits, dim=1).float().sigmoid(),
            classes=torch.cat(all_classes, dim=1),
            class_probs=torch.cat(all_probs, dim=1) if self.keep_class_probs else None,
        )

    def deltas_of(self, feature: Tensor, level: int, best: BestPairs) -> Tensor:
        """Deltas (N, S, 4) of the best anchors of a level."""
        return take(by_anchor(self.head.level_deltas(feature, level), 4), best.anchors)

    @torch.no_grad()
    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """The highest probability of each class over anchors: (N, K, H, W) for each level."""
        logits = self.head.class_logits(self.features(samples))
        return [
            level.view(len(level), -1, self.num_classes, *level.shape[2:])
            .amax(dim=1)
            .float()
            .sigmoid()
            for level in logits
        ]

    def label_anchors(self, gt: GroundTruth, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Label anchors by their IoU; anchors between the two thresholds are ignored."""
        matches, labels = self.matcher.match_boxes(gt.boxes, anchors)
        classes = gt.classes[matches].masked_fill(labels == 0, self.num_classes)
        return classes.masked_fill(labels == -1, -1), matches
