"""SSD as one function of tensors, for images of its one size, so that it can be written as a graph.

N: images, R: priors of all levels, K: classes, D: detections of an image at most
"""

import torch
from torch import Tensor, nn

from app.engine.export._operators import nms_mask
from app.engine.export._parts import (
    Found,
    clipped,
    decoded,
    divide,
    normalized,
    rows_at,
    to_original,
)
from app.engine.modeling.meta_arch._priors import map_sizes
from app.engine.modeling.meta_arch.ssd import SSD


class SSDGraph(nn.Module):
    """SSD from pixels to final boxes; the priors are constants."""

    priors: Tensor

    def __init__(self, detector: SSD) -> None:
        super().__init__()
        self.detector = detector
        grid = detector.anchor_generator
        maps = map_sizes(
            detector.backbone, detector.in_features, len(detector.pixel_mean), grid.input_size
        )
        self.register_buffer("priors", torch.cat(grid.of_sizes(maps)), persistent=False)

    def forward(
        self, images: Tensor, sizes: Tensor, original_sizes: Tensor, score_threshold: Tensor
    ) -> tuple[Tensor, ...]:
        """(N, H, W, C) uint8, (N, 2), (N, 2) int64, () -> boxes, scores, classes, class_probs."""
        detector = self.detector
        maps = detector.backbone(normalized(detector, images, sizes))
        logits, deltas = detector.predict([maps[name] for name in detector.in_features])
        boxes = decoded(detector.coder, deltas, self.priors.expand_as(deltas))
        if detector.clip_before_nms:
            boxes = clipped(boxes, sizes)
        found = self._found(boxes, detector.probs(logits), score_threshold)
        found = to_original(found, sizes, original_sizes)
        return found.boxes, found.scores, found.classes, found.class_probs

    def _found(self, boxes: Tensor, probs: Tensor, score_threshold: Tensor) -> Found:
        """Apply NMS to the best priors of each class: (N, R, 4), (N, R, K or K + 1) -> (N, D)."""
        chosen, num_priors = self.detector.detection_filter, len(self.priors)
        of_class = probs[..., : self.detector.num_classes].transpose(1, 2)
        takes_part = of_class > score_threshold
        if chosen.topk < num_priors:
            takes_part &= of_class >= of_class.topk(chosen.topk, dim=2).values[:, :, -1:]
        of_class = torch.where(takes_part, of_class, 0.0)
        kept = nms_mask(boxes, of_class, chosen.nms_thresh, chosen.max_detections)
        pairs = torch.where(kept, of_class, 0.0).flatten(1)
        best, index = pairs.topk(min(chosen.max_detections, pairs.shape[1]), dim=1)
        classes, prior = divide(index, num_priors)
        return Found(rows_at(boxes, prior), best, classes, rows_at(probs, prior))
