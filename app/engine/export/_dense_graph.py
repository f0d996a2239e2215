"""A one-stage detector as one function of tensors, so that it can be written as a graph.

N: images, K: classes, A: anchors at a cell, R: anchors of a level, S: candidates of an image
"""

import torch
from torch import Tensor, nn

from app.engine.export._operators import nms_mask
from app.engine.export._parts import (
    Found,
    anchors_at,
    best_found,
    decoded,
    normalized,
    rows_of,
    to_original,
)
from app.engine.modeling.meta_arch.fcos import FCOS
from app.engine.modeling.meta_arch.retinanet import RetinaNet


class DenseGraph(nn.Module):
    """RetinaNet or FCOS with everything between pixels and final boxes."""

    def __init__(self, detector: RetinaNet | FCOS) -> None:
        super().__init__()
        self.detector = detector

    def forward(
        self, images: Tensor, sizes: Tensor, original_sizes: Tensor, score_threshold: Tensor
    ) -> tuple[Tensor, ...]:
        """(N, H, W, C) uint8, (N, 2), (N, 2) int64, () -> boxes, scores, classes, class_probs."""
        detector = self.detector
        maps = detector.backbone(normalized(detector, images, sizes))
        features = [maps[name] for name in detector.in_features]
        levels = [
            self._candidates(level, *maps_of_level)
            for level, maps_of_level in enumerate(zip(*self._predict(features), strict=True))
        ]
        boxes, scores, classes, probs = (
            torch.cat([level[i] for level in levels], dim=1) for i in range(4)
        )
        one_hot = classes[:, None, :] == torch.arange(detector.num_classes)[None, :, None]
        takes_part = one_hot & (scores > score_threshold)[:, None, :]
        limit = detector.selection.limit
        of_class = torch.where(takes_part, scores[:, None, :], 0.0)
        kept = nms_mask(boxes, of_class, detector.selection.nms_thresh, limit).any(dim=1)
        found = best_found(Found(boxes, torch.where(kept, scores, 0.0), classes, probs), limit)
        found = to_original(found, sizes, original_sizes)
        return found.boxes, found.scores, found.classes, found.class_probs

    def _predict(self, features: list[Tensor]) -> list[list[Tensor | None]]:
        """Logits (N, A K, H, W), deltas (N, A 4, H, W), and centerness or None, of each level."""
        if isinstance(self.detector, FCOS):
            return [list(maps) for maps in self.detector.predict(features)]
        logits, deltas = self.detector.predict(features)
        return [list(logits), list(deltas), [None] * len(logits)]

    def _candidates(
        self, level: int, logits: Tensor, deltas: Tensor, centerness: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes (N, S, 4), scores (N, S), classes (N, S), class scores (N, S, K) of a level.

        The best pairs of anchor and class are sought among the anchors whose best class is best:
        no other anchor can hold one of them.
        """
        num_classes, topk = self.detector.num_classes, self.detector.selection.topk
        num_images, _, height, width = logits.shape
        num_cells = height * width
        best = logits.reshape(num_images, -1, num_classes, height, width).amax(dim=2).flatten(1)
        if centerness is not None:
            best = (best.sigmoid() * centerness.flatten(1).sigmoid()).sqrt()
        _, anchors = best.topk(torch.sym_min(topk, best.shape[1]), dim=1)
        rows = rows_of(logits, anchors, num_cells, num_classes).sigmoid()
        if centerness is not None:
            centers = centerness.flatten(1).gather(1, anchors).sigmoid()
            rows = (rows * centers[:, :, None]).sqrt()
        flat = rows.flatten(1)
        scores, index = flat.topk(torch.sym_min(topk, flat.shape[1]), dim=1)
        place = index // num_classes
        chosen = anchors.gather(1, place)
        boxes = decoded(
            self.detector.coder,
            rows_of(deltas, chosen, num_cells, 4),
            anchors_at(self.detector.anchor_generator, level, chosen, height, width),
        )
        probs = rows.gather(1, place[:, :, None].expand(-1, -1, num_classes))
        return boxes, scores, index - place * num_classes, probs
