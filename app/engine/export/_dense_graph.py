"""A one-stage detector as one function of tensors, so that it can be written as a graph.

N: images, K: classes, A: anchors at a cell, R: anchors of a level, B: the best of them, S: pairs of
one of these and a class, D: detections of an image at most
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from app.engine.export._cells_graph import ConvsAtCells
from app.engine.export._operators import nms_mask
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
from app.engine.modeling.meta_arch._dense_filter import by_anchor
from app.engine.modeling.meta_arch.fcos import FCOS
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.structures.size import Size

_FINE = 2
"""Number of levels whose boxes are computed for the best pairs only; the others have few cells."""

_Maps = tuple[Sequence[Tensor], Sequence[Tensor | None], Sequence[Tensor | None]]


class _BestPairs(NamedTuple):
    """The best anchors, and pairs of anchor and class, of one level or of all levels.

    probs    (N, B, K) class probabilities of the best anchors
    deltas   (N, B, 4) deltas of the best anchors
    anchors  (N, B, 4)
    scores   (N, S) scores of the best pairs
    pairs    (N, S): index of the anchor among the best of all levels, times K, plus class
    """

    probs: Tensor
    deltas: Tensor
    anchors: Tensor
    scores: Tensor
    pairs: Tensor


class DenseGraph(nn.Module):
    """RetinaNet or FCOS from pixels to final boxes."""

    def __init__(self, detector: RetinaNet | FCOS) -> None:
        super().__init__()
        self.detector = detector
        self.box_tower = _box_tower(detector)

    def forward(
        self, images: Tensor, sizes: Tensor, original_sizes: Tensor, score_threshold: Tensor
    ) -> tuple[Tensor, ...]:
        """(N, H, W, C) uint8, (N, 2), (N, 2) int64, () -> boxes, scores, classes, class_probs."""
        detector = self.detector
        maps = detector.backbone(normalized(detector, images, sizes))
        features = [maps[name] for name in detector.in_features]
        cells = [(feature.shape[2], feature.shape[3]) for feature in features]
        levels: list[_BestPairs] = []
        for level, predicted in enumerate(zip(features, *self._predict(features), strict=True)):
            num_before = sum(of_level.probs.shape[1] for of_level in levels)
            levels.append(self._best_pairs(level, num_before, cells, *predicted, score_threshold))
        joined = _BestPairs(*(torch.cat(parts, dim=1) for parts in zip(*levels, strict=True)))
        found = to_original(self._found(joined, sizes, score_threshold), sizes, original_sizes)
        return found.boxes, found.scores, found.classes, found.class_probs

    def _predict(self, features: list[Tensor]) -> _Maps:
        """Return logits (N, A K, H, W), deltas (N, A 4, H, W) and centerness of each level.

        Deltas are None where `box_tower` computes them; centerness is None for RetinaNet.
        """
        detector = self.detector
        if isinstance(detector, FCOS):
            return detector.predict(features)
        logits = detector.head.class_logits(features)
        deltas: list[Tensor | None] = [None] * (0 if self.box_tower is None else _FINE)
        for level in range(len(deltas), len(features)):
            deltas.append(detector.head.level_deltas(features[level], level))
        return logits, deltas[: len(features)], [None] * len(features)

    def _best_pairs(
        self,
        level: int,
        num_before: int,
        cells: Sequence[Size],
        feature: Tensor,
        logits: Tensor,
        deltas: Tensor | None,
        centerness: Tensor | None,
        score_threshold: Tensor,
    ) -> _BestPairs:
        """Return the best of a level.

        num_before  number of best anchors of earlier levels
        cells       height and width of the map of each level

        The best pairs are searched among the anchors with the highest best scores, since no other
        anchor can be part of one.
        """
        num_classes, topk = self.detector.num_classes, self.detector.detection_filter.topk
        rows = by_anchor(logits, num_classes)
        best = rows.amax(dim=2)
        if centerness is not None:
            best = best.sigmoid() * by_anchor(centerness, 1)[:, :, 0].sigmoid()
        best, index = best.topk(torch.sym_min(topk, best.shape[1]), dim=1)
        probs = rows_at(rows, index).sigmoid()
        if centerness is not None:
            probs = (probs * rows_at(by_anchor(centerness, 1), index).sigmoid()).sqrt()
        if deltas is None:
            # The best anchor is always included, as the tower needs at least one cell.
            asked = best.sigmoid() >= torch.minimum(score_threshold, best[:, :1].sigmoid())
            deltas_at = self._deltas_where(asked, index, feature)
        else:
            deltas_at = rows_at(by_anchor(deltas, 4), index)
        pairs = probs.flatten(1)
        scores, pair = pairs.topk(torch.sym_min(topk, pairs.shape[1]), dim=1)
        return _BestPairs(
            probs,
            deltas_at,
            anchors_at(self.detector.anchor_generator, level, index, cells),
            scores,
            pair + num_before * num_classes,
        )

    def _deltas_where(self, asked: Tensor, index: Tensor, feature: Tensor) -> Tensor:
        """Return deltas (N, B, 4) of anchors `index` (N, B); 0 in cells without an `asked` one."""
        assert self.box_tower is not None
        num_images, _, height, width = feature.shape
        num_anchors = self.detector.anchor_generator.num_anchors[0]
        cell, shape = divide(index, num_anchors)
        count = cell.new_zeros((num_images, height * width))
        count = count.scatter_add(1, cell, asked.to(count.dtype))
        wanted = (count > 0).float().view(num_images, 1, height, width)
        rows, places = self.box_tower(feature, wanted)
        place = places.flatten(1).gather(1, cell) * num_anchors + shape
        deltas: Tensor = rows.view(-1, 4)[place]
        return deltas

    def _found(self, best: _BestPairs, sizes: Tensor, score_threshold: Tensor) -> Found:
        """Apply NMS and return the best detections, (N, D), in pixels of the network's input."""
        num_classes, chosen = self.detector.num_classes, self.detector.detection_filter
        scores = best.scores
        place, classes = divide(best.pairs, num_classes)
        boxes = decoded(self.detector.coder, best.deltas, best.anchors)
        boxes = rows_at(boxes, place)
        if chosen.clip_first:
            boxes = clipped(boxes, sizes)
        one_hot = classes[:, None, :] == torch.arange(num_classes)[None, :, None]
        takes_part = one_hot & (scores > score_threshold)[:, None, :]
        of_class = torch.where(takes_part, scores[:, None, :], 0.0)
        kept = nms_mask(boxes, of_class, chosen.nms_thresh, chosen.max_detections).any(dim=1)
        limit = torch.sym_min(chosen.max_detections, scores.shape[1])
        scores, index = torch.where(kept, scores, 0.0).topk(limit, dim=1)
        return Found(
            rows_at(boxes, index),
            scores,
            classes.gather(1, index),
            rows_at(best.probs, place.gather(1, index)),
        )


def _box_tower(detector: RetinaNet | FCOS) -> ConvsAtCells | None:
    """Return RetinaNet's box tower; None for FCOS, or with norms, which need the whole map."""
    if isinstance(detector, FCOS):
        return None
    head = detector.head
    convs = [module for module in head.bbox_subnet if isinstance(module, nn.Conv2d)]
    others = (module for module in head.bbox_subnet if not isinstance(module, nn.Conv2d))
    if not all(isinstance(module, nn.ReLU | nn.Identity) for module in others):
        return None
    return ConvsAtCells([*convs, head.bbox_pred])
