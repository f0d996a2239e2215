"""Consistency of the detections in an image and its views; inconsistent images are informative.

Yu et al., Consistency-based active learning for object detection, L3D-IVU 2022. The paper takes
the images with the smallest metric first; here a higher score is mined first, so score = -metric.
R, M: detections of the image, of one view; K: foreground classes; C: K, or K + 1 with background
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.engine.mining._augment import VIEWS
from app.engine.mining._detections import class_probs
from app.engine.mining._strategy import Candidate, MiningModel, MiningOptions, Strategy
from app.engine.structures.boxes import pairwise_iou
from app.engine.structures.detections import Detections

BASE_POINT = 1.3
"""The most informative consistency; 2 means a known object, 0 only a wrongly matched pair."""
MAX_REFERENCES = 50


def score(
    candidates: Sequence[Candidate], model: MiningModel, options: MiningOptions
) -> list[float | None]:
    """Return minus the mean of `metric` over the views; None for images without detections."""
    found = model.detect([candidate.image for candidate in candidates])
    references = [_confident(detections, options, MAX_REFERENCES) for detections in found]
    views = [
        (reference, *VIEWS[name](candidate.image, reference.boxes, candidate.seed))
        for candidate, reference in zip(candidates, references, strict=True)
        for name in options.views
        if len(reference)
    ]
    seen = model.detect([image for _, image, _ in views])
    metrics = iter(
        [
            metric(reference, boxes, _confident(detections, options), model.num_classes)
            for (reference, _, boxes), detections in zip(views, seen, strict=True)
        ]
    )
    return [
        -sum(next(metrics) for _ in options.views) / len(options.views) if len(reference) else None
        for reference in references
    ]


def metric(reference: Detections, boxes: Tensor, seen: Detections, num_classes: int) -> float:
    """Return the metric of a view: the least |m - 1.3| over references; 0 without detections.

    boxes  (R, 4): the reference boxes in the coordinates of the view
    """
    if not len(seen):
        return 0.0
    iou, best = pairwise_iou(boxes, seen.boxes).max(dim=1)
    probs, seen_probs = class_probs(reference), class_probs(seen)[best]
    agreement = 1 - jensen_shannon(probs, seen_probs)
    tops = probs[:, :num_classes].amax(dim=1) + seen_probs[:, :num_classes].amax(dim=1)
    consistency = iou + agreement * tops / 2
    # The published code starts its running minimum at 1.
    return min(1.0, float((consistency - BASE_POINT).abs().min()))


def jensen_shannon(probs: Tensor, other: Tensor) -> Tensor:
    """Return the divergence of class vectors, scaled to sum 1, in nats: (R, C) twice -> (R,)."""

    def entropy(p: Tensor) -> Tensor:
        total: Tensor = torch.special.entr(p).sum(dim=1)
        return total

    p, q = (v / v.sum(dim=1, keepdim=True) for v in (probs, other))
    return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).clamp(min=0)


def _confident(
    detections: Detections, options: MiningOptions, limit: int | None = None
) -> Detections:
    keep = (detections.scores >= options.score_thresh).nonzero()[:limit, 0]
    return detections.select(keep)


STRATEGY = Strategy(
    score,
    prefers="detections that change with the view",
    about="minus the consistency metric between the image and its views",
    advice="small budgets, when four passes are affordable",
    uses=("empty_policy", "seed"),
    passes="1 + views (3)",
    of_tiles=max,  # as the least consistent object decides the metric of an image
    usual_range=(-1.0, 0.0),
)
