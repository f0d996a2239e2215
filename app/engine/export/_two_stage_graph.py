"""A two-stage detector as one function of tensors, so that it can be written as a graph.

N: images, L: levels, A: anchors at a cell, P: proposals of an image, M = N P crops, K: classes,
D: detections of an image at most, S: side of masks. Lists are padded; a flag or a score of 0 marks
empty places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.engine.export._operators import crops, nms_mask
from app.engine.export._parts import (
    Found,
    anchors_at,
    clipped,
    decoded,
    divide,
    normalized,
    rows_at,
    to_original,
)
from app.engine.layers.roi_pool import CANONICAL_LEVEL, CANONICAL_SIDE, ROIPooler
from app.engine.modeling.meta_arch._dense_filter import by_anchor
from app.engine.modeling.meta_arch.generalized_rcnn import GeneralizedRCNN
from app.engine.modeling.roi_heads.box_predictor import BoxPredictions, BoxPredictor
from app.engine.modeling.roi_heads.cascade import CascadeROIHeads
from app.engine.modeling.roi_heads.mask_head import MaskHead
from app.engine.modeling.roi_heads.res5 import Res5ROIHeads
from app.engine.modeling.roi_heads.standard import StandardROIHeads
from app.engine.modeling.rpn import RPN
from app.engine.structures.size import Size

_ABSENT = -1e30
"""Logit of an absent box."""


@dataclass(frozen=True, slots=True)
class Masks:
    """The mask branch: the pooler of crops, the layers before the head, and the head."""

    pooler: ROIPooler
    stem: nn.Module
    head: MaskHead


@dataclass(frozen=True, slots=True)
class Heads:
    """The RoI heads of all architectures in one form.

    in_features  names of the feature maps that are cropped
    stages       box head and predictor of each stage: one, or those of a cascade
    """

    in_features: Sequence[str]
    pooler: ROIPooler
    stages: Sequence[tuple[nn.Module, BoxPredictor]]
    masks: Masks | None

    @classmethod
    def of(cls, heads: StandardROIHeads | Res5ROIHeads) -> "Heads":
        """Return the heads of a model."""
        mask_head, masks = heads.mask_head, None
        if isinstance(heads, Res5ROIHeads):
            mean = nn.Sequential(heads.res5, nn.AdaptiveAvgPool2d(1), nn.Flatten())
            if mask_head is not None:
                masks = Masks(heads.pooler, heads.res5, mask_head)
            return cls([heads.in_feature], heads.pooler, [(mean, heads.box_predictor)], masks)
        if mask_head is not None and heads.mask_pooler is not None:
            masks = Masks(heads.mask_pooler, nn.Identity(), mask_head)
        return cls(heads.in_features, heads.box_pooler, _stages_of(heads), masks)


class TwoStageGraph(nn.Module):
    """Faster, Mask or Cascade R-CNN from pixels to final boxes and masks."""

    def __init__(self, detector: GeneralizedRCNN, rpn: RPN, heads: Heads) -> None:
        super().__init__()
        self.detector = detector
        self.rpn = rpn
        self.heads = heads

    def forward(
        self, images: Tensor, sizes: Tensor, original_sizes: Tensor, score_threshold: Tensor
    ) -> tuple[Tensor, ...]:
        """(N, H, W, C) uint8, (N, 2), (N, 2) int64, () -> boxes, scores, classes, probs [, masks].

        Masks are probabilities (N, D, S, S) inside the boxes.
        """
        features = self.detector.backbone(normalized(self.detector, images, sizes))
        proposals, present = self._propose(features, sizes)
        maps = [features[name] for name in self.heads.in_features]
        found = self._detect(maps, proposals, present, sizes, score_threshold)
        outputs = tuple(to_original(found, sizes, original_sizes))
        branch = self.heads.masks
        if branch is None:
            return outputs
        crops = branch.stem(pooled(branch.pooler, maps, found.boxes))
        masks = branch.head.detect(crops, found.classes.flatten())
        return *outputs, masks.view(*found.scores.shape, *masks.shape[2:])

    def _propose(self, features: Mapping[str, Tensor], sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Return proposals (N, P, 4), best first, and whether each is present (N, P) bool."""
        maps = [features[name] for name in self.rpn.in_features]
        cells = [(feature.shape[2], feature.shape[3]) for feature in maps]
        levels = [
            self._best_of_level(level, cells, logits, deltas, sizes)
            for level, (logits, deltas) in enumerate(zip(*self.rpn.rpn_head(maps), strict=True))
        ]
        boxes, logits = (torch.cat([level[i] for level in levels], dim=1) for i in range(2))
        limit = torch.sym_min(self.rpn.test_filter.post_nms_topk, logits.shape[1])
        logits, index = logits.topk(limit, dim=1)
        proposals = boxes.gather(1, index[:, :, None].expand(-1, -1, 4))
        return proposals, logits > _ABSENT / 2

    def _best_of_level(
        self, level: int, cells: Sequence[Size], logits: Tensor, deltas: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return boxes (N, P, 4) of a level and their logits (N, P), `_ABSENT` if suppressed."""
        chosen = self.rpn.test_filter
        flat = by_anchor(logits, 1).flatten(1)
        best, anchors = flat.topk(torch.sym_min(chosen.pre_nms_topk, flat.shape[1]), dim=1)
        boxes = decoded(
            self.rpn.coder,
            rows_at(by_anchor(deltas, 4), anchors),
            anchors_at(self.rpn.anchor_generator, level, anchors, cells),
        )
        boxes = clipped(boxes, sizes)
        sides = boxes[:, :, 2:] - boxes[:, :, :2]
        valid = (sides > chosen.min_size).all(dim=2)
        if chosen.score_thresh:
            valid = valid & (best.sigmoid() >= chosen.score_thresh)
        # NMS gets ranks because logits may be negative, and a score of 0 means an absent box.
        ranks = _ranks(chosen.pre_nms_topk)[: best.shape[1]] * valid.float()
        kept = nms_mask(boxes, ranks[:, None], chosen.nms_thresh, chosen.post_nms_topk)[:, 0]
        return boxes, torch.where(kept, best, _ABSENT)

    def _detect(
        self,
        maps: Sequence[Tensor],
        proposals: Tensor,
        present: Tensor,
        sizes: Tensor,
        score_threshold: Tensor,
    ) -> Found:
        """Return the final boxes, in pixels of the network's input."""
        predictor, probs, deltas, boxes = self._predict(maps, proposals, sizes)
        num_images, num_boxes = present.shape
        num_classes = predictor.spec.num_classes
        decoded_boxes = decoded(
            predictor.spec.coder,
            deltas.flatten(1, 2),
            boxes[:, :, None].expand(-1, -1, deltas.shape[2], -1).flatten(1, 2),
        )
        decoded_boxes = clipped(decoded_boxes, sizes).view(num_images, num_boxes, -1, 4)
        of_class = decoded_boxes.expand(-1, -1, num_classes, -1).transpose(1, 2)  # (N, K, P, 4)
        scores = probs[:, :, :num_classes].transpose(1, 2)
        takes_part = (scores > score_threshold) & present[:, None]
        scores = torch.where(takes_part, scores, 0.0)
        rule = predictor.detection_filter
        kept = nms_mask(
            of_class.flatten(0, 1),
            scores.flatten(0, 1)[:, None],
            rule.nms_thresh,
            rule.max_detections,
        ).view(scores.shape)
        flat = torch.where(kept, scores, 0.0).flatten(1)
        best, index = flat.topk(torch.sym_min(rule.max_detections, flat.shape[1]), dim=1)
        classes, rows = divide(index, num_boxes)
        return Found(
            of_class.flatten(1, 2).gather(1, index[:, :, None].expand(-1, -1, 4)),
            best,
            classes,
            probs.gather(1, rows[:, :, None].expand(-1, -1, probs.shape[2])),
        )

    def _predict(
        self, maps: Sequence[Tensor], proposals: Tensor, sizes: Tensor
    ) -> tuple[BoxPredictor, Tensor, Tensor, Tensor]:
        """Return the last predictor, class probabilities (N, P, K + 1), deltas (N, P, k, 4), boxes.

        The deltas apply to these boxes, (N, P, 4).
        """
        stages = self.heads.stages
        boxes, probs = proposals, []
        for number, (head, predictor) in enumerate(stages, start=1):
            raw: BoxPredictions = predictor(head(pooled(self.heads.pooler, maps, boxes)))
            shape = (*boxes.shape[:2], -1)
            probs.append(predictor.probs(raw).view(shape))
            deltas = raw.deltas.view(shape)
            if number < len(stages):  # the next stage of a cascade starts from these boxes
                boxes = clipped(decoded(predictor.spec.coder, deltas, boxes), sizes)
        mean = torch.stack(probs).sum(dim=0) * (1.0 / len(probs))
        return predictor, mean, deltas.view(*deltas.shape[:2], -1, 4), boxes


def _ranks(number: int) -> Tensor:
    """Return falling numbers that bfloat16, too, can hold: 8 bits and an exponent."""
    octaves, places = divide(torch.arange(number), 128)
    return (256 - places) * 2.0**-octaves


def _stages_of(heads: StandardROIHeads) -> list[tuple[nn.Module, BoxPredictor]]:
    pairs: list[tuple[nn.Module, nn.Module]] = [(heads.box_head, heads.box_predictor)]
    if isinstance(heads, CascadeROIHeads):
        pairs = list(zip(heads.box_head, heads.box_predictor, strict=True))
    return [(head, predictor) for head, predictor in pairs if isinstance(predictor, BoxPredictor)]


def pooled(pooler: ROIPooler, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Crop boxes (N, P, 4) from the level for their size: (N P, C, S, S)."""
    num_images, num_boxes, _ = boxes.shape
    images = torch.arange(num_images)[:, None].expand(-1, num_boxes).flatten()
    boxes = boxes.flatten(0, 1)
    if len(pooler.strides) == 1:
        return _crops(pooler, maps[0], boxes, images, pooler.strides[0])
    levels = _levels(boxes, pooler.strides)
    parts = []
    # Places are counted and not sorted, so that the exporter knows the number of crops.
    place, before = torch.zeros_like(levels), levels.new_zeros(())
    for level, (feature, stride) in enumerate(zip(maps, pooler.strides, strict=True)):
        here = levels == level
        rows = here.nonzero()[:, 0]
        parts.append(_crops(pooler, feature, boxes[rows], images[rows], stride))
        place = torch.where(here, before + here.to(torch.int64).cumsum(0) - 1, place)
        before = before + here.to(torch.int64).sum()
    return torch.cat(parts)[place]


def _levels(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """`roi_pool.assign_levels` by comparisons, so that no level is computed in floats.

    The level of a box is the number of levels whose smallest box is not larger: (M, 4) -> (M,).
    """
    sides = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    shares = sides / CANONICAL_SIDE + 1e-8
    smallest = [stride / 2**CANONICAL_LEVEL for stride in strides[1:]]
    return torch.stack([(shares >= share).to(torch.int64) for share in smallest]).sum(dim=0)


def _crops(
    pooler: ROIPooler, feature: Tensor, boxes: Tensor, images: Tensor, stride: int
) -> Tensor:
    aligned = pooler.pooler_type == "ROIAlignV2"
    side, ratio = pooler.side, pooler.sampling_ratio
    cut: Tensor = crops(feature, boxes, images, side, stride, ratio, aligned)
    return cut
