"""Margin: images with a small difference between the two best classes come first.

Brust et al., Active learning for deep object detection, VISAPP 2019.
R: detections of one image; K: foreground classes
"""

from collections.abc import Sequence

from torch import Tensor

from app.engine.mining._detections import score_detections, sigmoid_margin
from app.engine.mining._strategy import Candidate, MiningModel, MiningOptions, Strategy


def score(
    candidates: Sequence[Candidate], model: MiningModel, options: MiningOptions
) -> list[float | None]:
    """Return the aggregate of `margin` over the detections of each image."""
    return score_detections(candidates, model, options, margin)


def margin(probs: Tensor, softmax: bool) -> Tensor:
    """Return 1 - (p1 - p2), background included; for independent classes 1 - |2s - 1|.

    (R, K) or softmax (R, K + 1) -> (R,) in [0, 1].
    """
    if not softmax:
        return sigmoid_margin(probs)
    best = probs.topk(2, dim=1).values
    return 1 - (best[:, 0] - best[:, 1])


STRATEGY = Strategy(
    score,
    prefers="unsure detections",
    about="1 - (best - second best probability) of each detection",
    advice="many classes that are easily confused",
    uses=("aggregate", "empty_policy"),
)
