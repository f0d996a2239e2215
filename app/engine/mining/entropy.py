"""Entropy of the class vector, as a share of the largest possible one.

Roy et al., Deep active learning for object detection, BMVC 2018; Brust et al., VISAPP 2019.
R: detections of one image; K: foreground classes
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from app.engine.mining._detections import score_detections
from app.engine.mining._strategy import Candidate, MiningModel, MiningOptions, Strategy


def score(
    candidates: Sequence[Candidate], model: MiningModel, options: MiningOptions
) -> list[float | None]:
    """Return the aggregate of `entropy` over the detections of each image."""
    return score_detections(candidates, model, options, entropy)


def entropy(probs: Tensor, softmax: bool) -> Tensor:
    """Return -sum p ln p / ln(K + 1); for independent classes the best one's binary entropy.

    (R, K) or softmax (R, K + 1) -> (R,) in [0, 1].
    """
    if softmax:
        total: Tensor = torch.special.entr(probs).sum(dim=1) / math.log(probs.shape[1])
        return total
    return binary_entropy(probs.amax(dim=1))


def binary_entropy(probs: Tensor) -> Tensor:
    """Return the binary entropy of probabilities, in bits: any shape, 1 at p = 0.5."""
    # An average of ones may exceed 1 by a rounding error, and its entropy is minus infinity.
    probs = probs.clamp(0, 1)
    nats: Tensor = torch.special.entr(probs) + torch.special.entr(1 - probs)
    return nats / math.log(2)


STRATEGY = Strategy(
    score,
    prefers="unsure detections",
    about="entropy of each detection's class vector as a share of the largest possible",
    advice="when in doubt; no single-model strategy beats it decisively",
    uses=("aggregate", "empty_policy"),
)
