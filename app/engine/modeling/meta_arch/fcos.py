"""FCOS: a one-stage detector with one point at each cell instead of anchors, and centerness.

N: images, K: classes, G: objects, R: points of all levels, P: positive points.
A point is represented by a square anchor whose side is the stride of the level.
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.config.rules import (
    ALPHA,
    COUNT,
    LAYERS,
    MAX_CLASSES,
    NAMES,
    NORM,
    OPEN_SHARE,
    POSITIVE,
    SHARE,
    SWITCH,
    number,
    whole,
)
from app.engine.config.traits import Architecture
from app.engine.layers.conv import init_normal
from app.engine.modeling.anchors import GENERATORS, AnchorGenerator
from app.engine.modeling.backbone import shared_shapes
from app.engine.modeling.backbones import build_backbone
from app.engine.modeling.box_regression import BoxLoss, LinearBoxCoder
from app.engine.modeling.meta_arch._dense import DenseHead, FocalDetector
from app.engine.modeling.meta_arch._dense_filter import (
    DenseFilter,
    best_pairs,
    by_anchor,
    decode,
    take,
)
from app.engine.modeling.positives import sum_where, targets_where
from app.engine.structures import boxes as box_ops
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth

TRAITS = Architecture(
    in_features=("MODEL.FCOS",),
    classes="MODEL.FCOS",
    section="MODEL.FCOS",
    keys={
        "NUM_CLASSES": (80, whole(1, MAX_CLASSES)),  # foreground classes
        "IN_FEATURES": (["p3", "p4", "p5", "p6", "p7"], NAMES),  # levels
        "NUM_CONVS": (4, LAYERS),  # tower depth without the last conv
        "NORM": ("GN", NORM),  # norm of the towers
        "PRIOR_PROB": (0.01, OPEN_SHARE),  # bias init -log((1-p)/p)
        # in strides; points this near an object's centre are positive
        "CENTER_SAMPLING_RADIUS": (1.5, POSITIVE),
        "FOCAL_LOSS_ALPHA": (0.25, ALPHA),  # focal balance
        "FOCAL_LOSS_GAMMA": (2.0, number(0, 100)),  # focal exponent
        "SCORE_THRESH_TEST": (0.2, SHARE),  # keep sqrt(class * centerness) > this
        "TOPK_CANDIDATES_TEST": (1000, COUNT),  # per level before NMS
        "NMS_THRESH_TEST": (0.6, SHARE),  # class-wise NMS IoU
        "CLIP_BEFORE_NMS": (False, SWITCH),  # clip boxes to the image before NMS, not after it
    },
    norms={"MODEL.FCOS.NORM": ("MODEL.FPN.OUT_CHANNELS",)},
    has_graph=True,
)


class FCOSHead(DenseHead):
    """The two towers, and a centerness layer on the box tower."""

    def __init__(self, *, in_channels: int, num_convs: int, **kwargs: Any) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=in_channels,
            num_convs=num_convs,
            num_anchors=1,
            **kwargs,
        )
        self.ctrness = nn.Conv2d(in_channels, 1, 3, padding=1)
        init_normal(self.ctrness, 0.01)


class FCOS(FocalDetector):
    """FCOS (https://arxiv.org/abs/2006.09214).

    points                  the points of all levels, as squares whose sides are the strides
    center_sampling_radius  points within this many strides of an object's centre are positive
    """

    head: FCOSHead

    def __init__(
        self,
        *,
        points: AnchorGenerator,
        center_sampling_radius: float,
        detection_filter: DenseFilter,
        **kwargs: Any,
    ) -> None:
        super().__init__(anchor_generator=points, loss_normalizer=300.0, **kwargs)
        self.finest, self.coarsest = min(points.strides), max(points.strides)
        self.center_sampling_radius = center_sampling_radius
        self.coder = LinearBoxCoder()
        self.box_loss = BoxLoss("giou")
        self.detection_filter = detection_filter

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Build the model that `MODEL.FCOS` describes."""
        fcos = cfg.MODEL.FCOS
        backbone = build_backbone(cfg)
        shapes = shared_shapes("MODEL.FCOS", fcos.IN_FEATURES, backbone.output_shape())
        head = FCOSHead(
            num_levels=len(shapes),
            in_channels=shapes[0].channels,
            num_convs=fcos.NUM_CONVS,
            num_classes=fcos.NUM_CLASSES,
            norm=fcos.NORM,
            prior_prob=fcos.PRIOR_PROB,
        )
        return cls(
            backbone=backbone,
            head=head,
            in_features=fcos.IN_FEATURES,
            points=_points(cfg, [shape.stride for shape in shapes]),
            center_sampling_radius=fcos.CENTER_SAMPLING_RADIUS,
            num_classes=fcos.NUM_CLASSES,
            focal_alpha=fcos.FOCAL_LOSS_ALPHA,
            focal_gamma=fcos.FOCAL_LOSS_GAMMA,
            detection_filter=DenseFilter(
                score_thresh=fcos.SCORE_THRESH_TEST,
                topk=fcos.TOPK_CANDIDATES_TEST,
                nms_thresh=fcos.NMS_THRESH_TEST,
                max_detections=cfg.TEST.DETECTIONS_PER_IMAGE,
                clip_first=fcos.CLIP_BEFORE_NMS,
            ),
            pixel_mean=cfg.MODEL.PIXEL_MEAN,
            pixel_std=cfg.MODEL.PIXEL_STD,
        )

    def predict(
        self, features: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Logits (N, K, H, W), deltas (N, 4, H, W), centerness (N, 1, H, W) of each level."""
        box_features = self.head.box_features(features)
        return (
            self.head.class_logits(features),
            [self.head.bbox_pred(x) for x in box_features],
            [self.head.ctrness(x) for x in box_features],
        )

    def losses(self, samples: list[Sample]) -> dict[str, Tensor]:
        """`loss_fcos_cls`, `loss_fcos_loc`, `loss_fcos_ctr`, divided by the loss normaliser."""
        features = self.features(samples)
        logits, deltas, centerness = self.predict(features)
        points = torch.cat(self.anchor_generator(features))
        classes, gt_boxes = self.labels(samples, points)
        is_positive = self.positives(classes).flatten()
        boxes = points.expand_as(gt_boxes).flatten(0, 1)
        targets = targets_where(is_positive, gt_boxes.flatten(0, 1), boxes)
        all_deltas = torch.cat([by_anchor(level, 4) for level in deltas], dim=1).flatten(0, 1)
        all_centerness = torch.cat([by_anchor(level, 1) for level in centerness], dim=1)
        box_losses = self.box_loss.each(self.coder, all_deltas.float(), boxes, targets)
        centerness_losses = F.binary_cross_entropy_with_logits(
            all_centerness.flatten().float(),
            gt_centerness(self.coder.encode(boxes, targets)),
            reduction="none",
        )
        return {
            "loss_fcos_cls": self.normalized(self.classification_loss(logits, classes)),
            "loss_fcos_loc": self.normalized(sum_where(is_positive, box_losses)),
            "loss_fcos_ctr": self.normalized(sum_where(is_positive, centerness_losses)),
        }

    @torch.no_grad()
    def detect(self, samples: list[Sample]) -> list[Detections]:
        """At most `max_detections` detections of each image, in pixels of the original."""
        features = self.features(samples)
        all_scores, all_deltas, all_points, all_classes, all_probs = [], [], [], [], []
        for logits, deltas, centerness, points in zip(
            *self.predict(features), self.anchor_generator(features), strict=True
        ):
            scores = by_anchor(_scores(logits, centerness), self.num_classes)
            best = best_pairs(scores, self.detection_filter.topk)
            all_scores.append(best.scores)
            all_deltas.append(take(by_anchor(deltas, 4), best.anchors))
            all_points.append(points[best.anchors])
            all_classes.append(best.classes)
            if self.keep_class_probs:
                all_probs.append(take(scores, best.anchors))
        return self.detection_filter(
            samples,
            boxes=decode(self.coder, torch.cat(all_deltas, dim=1), torch.cat(all_points, dim=1)),
            scores=torch.cat(all_scores, dim=1),
            classes=torch.cat(all_classes, dim=1),
            class_probs=torch.cat(all_probs, dim=1) if self.keep_class_probs else None,
        )

    @torch.no_grad()
    def dense_class_probs(self, samples: list[Sample]) -> list[Tensor]:
        """Class scores, centerness included: (N, K, H, W) for each level."""
        logits, _, centerness = self.predict(self.features(samples))
        return [_scores(*level) for level in zip(logits, centerness, strict=True)]

    def label_anchors(self, gt: GroundTruth, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """A point belongs to the smallest object of its level's size range whose centre is near."""
        sides = anchors[:, 2] - anchors[:, 0]
        centers = box_ops.centers(anchors)
        lower = (4 * sides).masked_fill(sides == self.finest, 0)
        upper = (8 * sides).masked_fill(sides == self.coarsest, torch.inf)
        away = (centers - box_ops.centers(gt.boxes)[:, None]).abs().amax(dim=2)  # (G, R)
        edges = torch.cat((centers - gt.boxes[:, None, :2], gt.boxes[:, None, 2:] - centers), dim=2)
        reach = edges.amax(dim=2)
        fits = (
            (away < self.center_sampling_radius * sides)
            & (edges.amin(dim=2) > 0)
            & (reach > lower)
            & (reach < upper)
        )
        areas = torch.where(fits, box_ops.area(gt.boxes)[:, None], torch.inf)
        smallest, index = areas.min(dim=0)
        return gt.classes[index].masked_fill(smallest.isinf(), self.num_classes), index


def _points(cfg: CfgNode, strides: Sequence[int]) -> AnchorGenerator:
    """At the centres of cells, or at their corners as torchvision has them."""
    name = cfg.MODEL.ANCHOR_GENERATOR.NAME
    return GENERATORS[name](
        sizes=[[float(stride)] for stride in strides],
        aspect_ratios=[1.0],
        strides=strides,
        offset=0.5 if name == "DefaultAnchorGenerator" else 0.0,
    )


def gt_centerness(deltas: Tensor) -> Tensor:
    """1 at an object's centre, 0 at its edges: (P, 4) left, top, right, bottom -> (P,)."""
    x, y = deltas[:, 0::2], deltas[:, 1::2]
    ratio = (x.amin(dim=1) / x.amax(dim=1)) * (y.amin(dim=1) / y.amax(dim=1))
    return ratio.sqrt()


def _scores(logits: Tensor, centerness: Tensor) -> Tensor:
    return (logits.float().sigmoid() * centerness.float().sigmoid()).sqrt()
