"""Region proposal network (https://arxiv.org/abs/1506.01497): boxes that may hold an object.

N: images, L: levels, A: anchors at one cell, R: anchors of all levels (sum of H * W * A),
S: sampled anchors of all images
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.engine.config import CfgNode
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.anchors import AnchorGenerator
from app.engine.modeling.backbone import shared_shapes
from app.engine.modeling.box_regression import BoxCoder, BoxLoss
from app.engine.modeling.matcher import Matcher
from app.engine.modeling.proposals import ProposalFilter
from app.engine.modeling.rpn_head import RPNHead
from app.engine.modeling.sampling import sample_labels
from app.engine.structures import boxes as box_ops
from app.engine.structures.boxes import Size
from app.engine.structures.targets import GroundTruth, Proposals


@dataclass(frozen=True, slots=True)
class AnchorPredictions:
    """The predictions of the head for all anchors of each level.

    anchors  L tensors (H * W * A, 4)
    logits   L tensors (N, H * W * A)
    deltas   L tensors (N, H * W * A, 4)
    """

    anchors: list[Tensor]
    logits: list[Tensor]
    deltas: list[Tensor]


class RPN(nn.Module):
    """Scores anchors and turns the best of them into proposals."""

    def __init__(
        self,
        *,
        in_features: Sequence[str],
        head: RPNHead,
        anchor_generator: AnchorGenerator,
        matcher: Matcher,
        coder: BoxCoder,
        box_loss: BoxLoss,
        train_filter: ProposalFilter,
        test_filter: ProposalFilter,
        batch_size_per_image: int,
        positive_fraction: float,
        boundary_thresh: int = -1,
        class_loss_weight: float = 1.0,
        box_loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.in_features = list(in_features)
        self.rpn_head = head
        self.anchor_generator = anchor_generator
        self.matcher = matcher
        self.coder = coder
        self.box_loss = box_loss
        self.train_filter = train_filter
        self.test_filter = test_filter
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.boundary_thresh = boundary_thresh
        self.class_loss_weight = class_loss_weight
        self.box_loss_weight = box_loss_weight

    @classmethod
    def from_config(cls, cfg: CfgNode, shapes: Mapping[str, ShapeSpec]) -> Self:
        """The RPN on the maps named by `MODEL.RPN.IN_FEATURES`."""
        rpn = cfg.MODEL.RPN
        inputs = shared_shapes("MODEL.RPN", rpn.IN_FEATURES, shapes)
        anchor_generator = AnchorGenerator.from_config(cfg, [shape.stride for shape in inputs])
        num_anchors = anchor_generator.num_anchors[0]  # as many at every level
        return cls(
            in_features=rpn.IN_FEATURES,
            head=RPNHead(inputs[0].channels, num_anchors, rpn.CONV_DIMS),
            anchor_generator=anchor_generator,
            matcher=Matcher(rpn.IOU_THRESHOLDS, rpn.IOU_LABELS, allow_low_quality_matches=True),
            coder=BoxCoder(tuple(rpn.BBOX_REG_WEIGHTS)),
            box_loss=BoxLoss(rpn.BBOX_REG_LOSS_TYPE, rpn.SMOOTH_L1_BETA),
            train_filter=ProposalFilter.from_config(cfg, training=True),
            test_filter=ProposalFilter.from_config(cfg, training=False),
            batch_size_per_image=rpn.BATCH_SIZE_PER_IMAGE,
            positive_fraction=rpn.POSITIVE_FRACTION,
            boundary_thresh=rpn.BOUNDARY_THRESH,
            class_loss_weight=rpn.LOSS_WEIGHT,
            box_loss_weight=rpn.LOSS_WEIGHT * rpn.BBOX_REG_LOSS_WEIGHT,
        )

    def predict(self, features: Mapping[str, Tensor]) -> AnchorPredictions:
        """Predict logits and deltas of every anchor."""
        inputs = [features[name] for name in self.in_features]
        logits, deltas = self.rpn_head(inputs)
        return AnchorPredictions(
            self.anchor_generator(inputs),
            [level.permute(0, 2, 3, 1).flatten(1) for level in logits],
            [level.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3) for level in deltas],
        )

    def propose(self, features: Mapping[str, Tensor], sizes: Sequence[Size]) -> list[Proposals]:
        """Proposals of N images of the given unpadded sizes."""
        return self._filtered(self.test_filter, self.predict(features), sizes)

    def losses(
        self,
        features: Mapping[str, Tensor],
        sizes: Sequence[Size],
        ground_truth: Sequence[GroundTruth],
    ) -> tuple[list[Proposals], dict[str, Tensor]]:
        """The proposals that train the second stage, and `loss_rpn_cls`, `loss_rpn_loc`."""
        anchors = self.anchor_generator([features[name] for name in self.in_features])
        samples = self._sample(torch.cat(anchors), sizes, ground_truth)
        predictions, logits, deltas = self.predict_with_samples(features, samples)
        losses = self._losses(samples, logits, deltas, num_images=len(ground_truth))
        return self._filtered(self.train_filter, predictions, sizes), losses

    def predict_with_samples(
        self, features: Mapping[str, Tensor], samples: "AnchorSamples"
    ) -> tuple[AnchorPredictions, Tensor, Tensor]:
        """Predictions for all anchors; logits (S,) and deltas (S, 4) of the samples.

        Only the logits and deltas of the samples need gradients.
        """
        predictions = self.predict(features)
        logits, deltas = (torch.cat(v, dim=1) for v in (predictions.logits, predictions.deltas))
        chosen = samples.image, samples.anchor
        return predictions, logits[chosen], deltas[chosen]

    def objectness(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """The highest probability of the anchors at each cell: L tensors (N, 1, H, W)."""
        logits, _ = self.rpn_head([features[name] for name in self.in_features])
        return [level.float().amax(dim=1, keepdim=True).sigmoid() for level in logits]

    def _filtered(
        self, proposal_filter: ProposalFilter, predictions: AnchorPredictions, sizes: Sequence[Size]
    ) -> list[Proposals]:
        return proposal_filter(
            predictions.anchors, predictions.logits, predictions.deltas, self.coder, sizes
        )

    def _losses(
        self, samples: "AnchorSamples", logits: Tensor, deltas: Tensor, *, num_images: int
    ) -> dict[str, Tensor]:
        """Compute the losses from logits (S,) and deltas (S, 4) of the samples."""
        targets = torch.zeros_like(logits, dtype=torch.float32)
        targets.index_fill_(0, samples.positive, 1.0)
        class_loss = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum")
        box_loss = self.box_loss(
            self.coder, deltas[samples.positive].float(), samples.boxes, samples.gt_boxes
        )
        # detectron2 divides by the configured batch size, not by the number of samples found.
        normalizer = self.batch_size_per_image * num_images
        return {
            "loss_rpn_cls": class_loss / normalizer * self.class_loss_weight,
            "loss_rpn_loc": box_loss / normalizer * self.box_loss_weight,
        }

    @torch.no_grad()
    def _sample(
        self, anchors: Tensor, sizes: Sequence[Size], ground_truth: Sequence[GroundTruth]
    ) -> "AnchorSamples":
        """Sample anchors of all images; the positive ones of an image come first."""
        matched = [self.matcher.match_boxes(truth.boxes, anchors) for truth in ground_truth]
        if self.boundary_thresh >= 0:
            for size, (_, labels) in zip(sizes, matched, strict=True):
                labels[~box_ops.inside(anchors, size, self.boundary_thresh)] = -1
        chosen = sample_labels(
            [labels for _, labels in matched],
            self.batch_size_per_image,
            self.positive_fraction,
            background=0,
        )
        parts, num_earlier = [], 0
        for i, (positive, negative) in enumerate(chosen):
            anchor = torch.cat((positive, negative))
            rows = torch.arange(len(positive), device=anchor.device) + num_earlier
            gt_boxes = ground_truth[i].boxes[matched[i][0][positive]]
            parts.append((torch.full_like(anchor, i), anchor, rows, anchors[positive], gt_boxes))
            num_earlier += len(anchor)
        return AnchorSamples(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class AnchorSamples:
    """The S anchors that are trained on; P of them are positive.

    image     (S,) int64
    anchor    (S,) int64 in [0, R)
    positive  (P,) int64 rows of the positive samples
    boxes     (P, 4) positive anchors, in the same order
    gt_boxes  (P, 4) boxes of the objects that they are matched to
    """

    image: Tensor
    anchor: Tensor
    positive: Tensor
    boxes: Tensor
    gt_boxes: Tensor


def build_proposal_generator(cfg: CfgNode, shapes: Mapping[str, ShapeSpec]) -> RPN | None:
    """Build the RPN, or return None if the data set has precomputed proposals."""
    if cfg.MODEL.PROPOSAL_GENERATOR.NAME == "PrecomputedProposals":
        return None
    return RPN.from_config(cfg, shapes)
