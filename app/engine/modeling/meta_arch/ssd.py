"""SSD: a one-stage detector with priors on maps of falling size, for inputs of one size.

N: images, K: classes, R: priors of all levels, T: candidates of a class, S = K * T
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.config.rules import (
    BODY_NORM,
    COUNT,
    FACTOR,
    FOUR_WEIGHTS,
    MAX_CLASSES,
    NAMES,
    POSITIVE,
    SHARE,
    SWITCH,
    either,
    listed,
    number,
    whole,
)
from app.engine.config.traits import Architecture
from app.engine.layers.losses import smooth_l1_loss
from app.engine.modeling.anchors import for_each_level
from app.engine.modeling.backbones import build_backbone
from app.engine.modeling.box_regression import BoxCoder
from app.engine.modeling.meta_arch._dense import DenseDetector
from app.engine.modeling.meta_arch._dense_filter import DenseFilter, by_anchor, decode, take
from app.engine.modeling.meta_arch._priors import PRIOR_RULES, PriorGrid, map_sizes
from app.engine.modeling.meta_arch._ssd_head import SSDHead
from app.engine.modeling.meta_arch._ssd_labels import hardest_negatives, match_priors
from app.engine.modeling.positives import sum_where, targets_where
from app.engine.structures import boxes as box_ops
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth

TRAITS = Architecture(
    in_features=("MODEL.SSD",),
    classes="MODEL.SSD",
    section="MODEL.SSD",
    keys={
        "NUM_CLASSES": (80, whole(1, MAX_CLASSES)),  # foreground classes
        "IN_FEATURES": (["p4", "p5", "p6", "p7", "p8", "p9"], NAMES),  # levels
        # order and shapes of the priors at a cell: torchvision / tensorflow
        "PRIOR_RULE": ("tensorflow", ("tensorflow", "torchvision")),
        # sides of square priors as shares of the input's, for each level and one more
        "SCALES": (
            [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0],
            listed(number(above=0, high=4), least=2, rising=True),
        ),
        # width / height, for each level or for all; torchvision adds squares and upright ones
        "ASPECT_RATIOS": (
            [[1.0, 2.0, 0.5, 3.0, 0.3333]],
            either(
                listed(
                    listed(number(0.001, 1000), least=0),
                    more=", one list for all levels or one for each",
                ),
                listed(number(0.001, 1000)),
            ),
        ),
        "REDUCE_FIRST_LEVEL": (True, SWITCH),  # tensorflow: three priors on the finest level
        # pixels between the cells of each level; [] = the input's side / the map's
        "STEPS": ([], listed(POSITIVE, least=0)),
        "CLIP_PRIORS": (False, SWITCH),  # no side of a prior exceeds the input's
        # depthwise 3x3 convolutions with norms, as in SSDLite; False: plain ones with biases
        "SEPARABLE_HEAD": (False, SWITCH),
        "NORM": ("BN", BODY_NORM),  # of a separable head
        # classes exclude each other (softmax) or not (sigmoid)
        "SCORES": ("softmax", ("softmax", "sigmoid")),
        "IOU_THRESHOLD": (0.5, SHARE),  # overlap from which a prior belongs to an object
        "BBOX_REG_WEIGHTS": ((10.0, 10.0, 5.0, 5.0), FOUR_WEIGHTS),
        "SMOOTH_L1_LOSS_BETA": (1.0, FACTOR),  # 0 = L1
        "NEGATIVES_PER_POSITIVE": (3.0, FACTOR),  # the hardest ones of an image count
        "SCORE_THRESH_TEST": (0.01, SHARE),  # keep scores > this
        "TOPK_CANDIDATES_TEST": (100, COUNT),  # of each class before NMS
        "NMS_THRESH_TEST": (0.6, SHARE),  # class-wise NMS IoU
        "CLIP_BEFORE_NMS": (False, SWITCH),  # boxes end at the image's edges before NMS, not after
    },
    has_graph=True,
    fixed_size=True,
)


class SSD(DenseDetector):
    """SSD (https://arxiv.org/abs/1512.02325) and SSDLite.

    scores           "softmax" or "sigmoid"
    iou_threshold    overlap from which a prior belongs to an object
    num_negatives    of the background, for each positive prior
    clip_before_nms  clip boxes to the image before NMS
    """

    head: SSDHead
    anchor_generator: PriorGrid

    def __init__(
        self,
        *,
        coder: BoxCoder,
        scores: str,
        iou_threshold: float,
        smooth_l1_beta: float,
        num_negatives: float,
        clip_before_nms: bool,
        detection_filter: DenseFilter,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.coder = coder
        self.is_softmax = scores == "softmax"
        self.iou_threshold = iou_threshold
        self.smooth_l1_beta = smooth_l1_beta
        self.num_negatives = num_negatives
        self.clip_before_nms = clip_before_nms
        self.detection_filter = detection_filter

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the model that `MODEL.SSD` describes, for inputs of `INPUT.FIXED_SIZE`."""
        ssd = cfg.MODEL.SSD
        backbone = build_backbone(cfg)
        size = (cfg.INPUT.FIXED_SIZE[0], cfg.INPUT.FIXED_SIZE[1])
        counts: list[tuple[float, float]] = [(size[0] / s, size[1] / s) for s in ssd.STEPS]
        maps = map_sizes(backbone, ssd.IN_FEATURES, len(cfg.MODEL.PIXEL_MEAN), size)
        rule = PRIOR_RULES[ssd.PRIOR_RULE]
        ratios = for_each_level(ssd.ASPECT_RATIOS, len(ssd.IN_FEATURES))
        priors = PriorGrid(
            list(rule(ssd.SCALES, ratios, reduce_first=ssd.REDUCE_FIRST_LEVEL)),
            size,
            counts or maps,
            clip=ssd.CLIP_PRIORS,
        )
        shapes = backbone.output_shape()
        head = SSDHead(
            in_channels=[shapes[name].channels for name in ssd.IN_FEATURES],
            num_anchors=priors.num_anchors,
            num_classes=ssd.NUM_CLASSES,
            separable=ssd.SEPARABLE_HEAD,
            norm=ssd.NORM,
        )
        return cls(
            backbone=backbone,
            head=head,
            in_features=ssd.IN_FEATURES,
            anchor_generator=priors,
            num_classes=ssd.NUM_CLASSES,
            coder=BoxCoder(tuple(ssd.BBOX_REG_WEIGHTS)),
            scores=ssd.SCORES,
            iou_threshold=ssd.IOU_THRESHOLD,
            smooth_l1_beta=ssd.SMOOTH_L1_LOSS_BETA,
            num_negatives=ssd.NEGATIVES_PER_POSITIVE,
            clip_before_nms=ssd.CLIP_BEFORE_NMS,
            detection_filter=DenseFilter(
                score_thresh=ssd.SCORE_THRESH_TEST,
                topk=ssd.TOPK_CANDIDATES_TEST,
                nms_thresh=ssd.NMS_THRESH_TEST,
                max_detections=cfg.TEST.DETECTIONS_PER_IMAGE,
            ),
            pixel_mean=cfg.MODEL.PIXEL_MEAN,
            pixel_std=cfg.MODEL.PIXEL_STD,
        )

    def predict(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (N, R, K + 1), the background last, and deltas (N, R, 4), both float32."""
        levels = list(enumerate(features))
        logits = [self.head.level_logits(feature, level) for level, feature in levels]
        deltas = [self.head.level_deltas(feature, level) for level, feature in levels]
        return (
            torch.cat([by_anchor(maps, self.num_classes + 1) for maps in logits], dim=1).float(),
            torch.cat([by_anchor(maps, 4) for maps in deltas], dim=1).float(),
        )

    def probs(self, logits: Tensor) -> Tensor:
        """(..., K + 1) -> probabilities of the classes; of softmax also the background's, last."""
        return logits.softmax(dim=-1) if self.is_softmax else logits[..., :-1].sigmoid()

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """`loss_cls` and `loss_box_reg`, divided by the number of positive priors of the batch."""
        features = self.features(samples)
        logits, deltas = self.predict(features)
        priors = torch.cat(self.anchor_generator(features))
        classes, gt_boxes = self.labels(samples, priors)
        is_positive = classes < self.num_classes
        number = is_positive.sum().clamp(min=1)
        class_losses = self.class_losses(logits, classes)
        counts = is_positive | hardest_negatives(class_losses, is_positive, self.num_negatives)
        boxes = priors.expand_as(gt_boxes).flatten(0, 1)
        targets = targets_where(is_positive.flatten(), gt_boxes.flatten(0, 1), boxes)
        box_losses = smooth_l1_loss(
            deltas.flatten(0, 1), self.coder.encode(boxes, targets), beta=self.smooth_l1_beta
        )
        return {
            "loss_cls": sum_where(counts.flatten(), class_losses.flatten()) / number,
            "loss_box_reg": sum_where(is_positive.flatten(), box_losses) / number,
        }

    def class_losses(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Cross-entropy of each prior: (N, R, K + 1), (N, R) -> (N, R)."""
        if self.is_softmax:
            return F.cross_entropy(logits.transpose(1, 2), classes, reduction="none")
        targets = F.one_hot(classes, self.num_classes + 1).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=2)

    @torch.no_grad()
    def detect(self, samples: list[Sample]) -> list[Detections]:
        """At most `max_detections` detections of each image, in pixels of the original."""
        features = self.features(samples)
        logits, deltas = self.predict(features)
        probs = self.probs(logits)
        scores = probs[..., : self.num_classes]
        priors = torch.cat(self.anchor_generator(features))
        boxes = decode(self.coder, deltas, priors.expand_as(deltas))
        if self.clip_before_nms:
            of_images = zip(boxes, samples, strict=True)
            boxes = torch.stack([box_ops.clip(rows, sample.size) for rows, sample in of_images])
        topk = min(self.detection_filter.topk, scores.shape[1])
        best, index = scores.transpose(1, 2).topk(topk, dim=2)  # (N, K, T)
        classes = torch.arange(self.num_classes, device=scores.device)[:, None].expand_as(index)
        index = index.flatten(1)
        return self.detection_filter(
            samples,
            boxes=take(boxes, index),
            scores=best.flatten(1),
            classes=classes.flatten(1),
            class_probs=(probs, index) if self.keep_class_probs else None,
        )

    @torch.no_grad()
    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """The highest probability of each class over priors: (N, K, H, W) for each level."""
        probs = []
        for level, feature in enumerate(self.features(samples)):
            logits = self.head.level_logits(feature, level).float()
            of_prior = logits.view(len(logits), -1, self.num_classes + 1, *logits.shape[2:])
            of_classes = self.probs(of_prior.movedim(2, -1))[..., : self.num_classes]
            probs.append(of_classes.amax(dim=1).movedim(-1, 1))
        return probs

    def label_anchors(self, gt: GroundTruth, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """A prior belongs to an object that it overlaps enough, or more than others do."""
        matches = match_priors(gt.boxes, anchors, self.iou_threshold)
        index = matches.clamp(min=0)
        return gt.classes[index].masked_fill(matches < 0, self.num_classes), index
