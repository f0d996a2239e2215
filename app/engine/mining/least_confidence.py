"""Least confidence: images with a low probability of the best class come first.

Roy et al., Deep active learning for object detection, BMVC 2018.
R: detections of one image; K: foreground classes
"""

from collections.abc import Sequence

from torch import Tensor

from app.engine.mining._detections import score_detections, sigmoid_margin
from app.engine.mining._strategy import Candidate, MiningModel, MiningOptions, Strategy


def score(
    candidates: Sequence[Candidate], model: MiningModel, options: MiningOptions
) -> list[float | None]:
    """Return the aggregate of `least_confidence` over the detections of each image."""
    return score_detections(candidates, model, options, least_confidence)


def least_confidence(probs: Tensor, softmax: bool) -> Tensor:
    """Return 1 - s, or for independent classes 1 - |2s - 1|; s: best foreground probability.

    The second form is needed because a low sigmoid means certain background, not uncertainty.
    (R, K) or softmax (R, K + 1) -> (R,) in [0, 1].
    """
    return 1 - probs[:, :-1].amax(dim=1) if softmax else sigmoid_margin(probs)


STRATEGY = Strategy(
    score,
    prefers="unsure detections",
    about="1 - best probability of each detection",
    advice="cheapest reading of doubt",
    uses=("aggregate", "empty_policy"),
)
