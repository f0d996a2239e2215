"""Shared functions of the strategies that score single detections.

K: foreground classes; R: detections of one image
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from app.engine.mining._aggregate import aggregate
from app.engine.mining._strategy import Candidate, MiningModel, MiningOptions
from app.engine.structures.detections import Detections

EPSILON = 1e-6
"""Probabilities are kept this far from 0 and 1, so that no logarithm is infinite."""


def score_detections(
    candidates: Sequence[Candidate],
    model: MiningModel,
    options: MiningOptions,
    uncertainty: Callable[[Tensor, bool], Tensor],
) -> list[float | None]:
    """Return for each image the aggregate of the `uncertainty` of its detections.

    `uncertainty` takes class probabilities (R, K or K + 1) and whether they are a softmax
    that includes the background, and returns (R,) numbers in [0, 1].
    """
    scores: list[float | None] = []
    for detections in model.detect([candidate.image for candidate in candidates]):
        confident = detections.select(detections.scores >= options.score_thresh)
        if len(confident) == 0:
            scores.append(None)
            continue
        probs = class_probs(confident)
        values = uncertainty(probs, probs.shape[1] > model.num_classes)
        scores.append(aggregate(values, options.aggregate))
    return scores


def class_probs(detections: Detections) -> Tensor:
    """Return class probabilities (R, K or K + 1) float32, clamped away from 0 and 1."""
    assert detections.class_probs is not None, "mining asks the model to keep class vectors"
    return detections.class_probs.float().clamp(EPSILON, 1 - EPSILON)


def sigmoid_margin(probs: Tensor) -> Tensor:
    """Return how close the best probability s is to 0.5, 1 - |2s - 1|: (R, K) -> (R,)."""
    return 1 - (2 * probs.amax(dim=1) - 1).abs()
