"""Combines the uncertainties of the objects in an image into one score.

R: detections of one image
"""

from collections.abc import Callable

import torch
from torch import Tensor

TOP_K = 5
"""Number of objects that count in `topk`."""

AGGREGATES: dict[str, Callable[[Tensor], Tensor]] = {
    "topk": lambda values: values.topk(min(TOP_K, len(values))).values.mean(),
    "max": torch.max,
    "mean": torch.mean,
    # The literature uses the sum, but it prefers crowded images however certain the model is.
    "sum": torch.sum,
}

EMPTY_POLICIES = ("low", "high", "sample")
"""Where images without detections rank: last, first, or spread at random among the others."""

LOWEST, HIGHEST = -10.0, 1000.0
"""Scores below and above all scores of images with detections."""


def aggregate(values: Tensor, how: str) -> float:
    """Combine (R,) values, R >= 1, into one by the aggregate `how`."""
    return float(AGGREGATES[how](values))


def empty_score(policy: str, fraction: float, usual: tuple[float, float]) -> float:
    """Return the score of an image without detections.

    fraction  in [0, 1), random but fixed for the image: its rank if the policy is `sample`
    usual     the usual lowest and highest score of the strategy
    """
    low, high = usual
    return {"low": LOWEST, "high": HIGHEST, "sample": low + fraction * (high - low)}[policy]
