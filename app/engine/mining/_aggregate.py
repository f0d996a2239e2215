"""From the uncertainties of the objects in an image to one number for the image.

R: detections of one image
"""

from collections.abc import Callable

import torch
from torch import Tensor

TOP_K = 5
"""Objects that count in `topk`."""

AGGREGATES: dict[str, Callable[[Tensor], Tensor]] = {
    "topk": lambda values: values.topk(min(TOP_K, len(values))).values.mean(),
    "max": torch.max,
    "mean": torch.mean,
    # As in the literature, but it prefers crowded images whatever the model thinks of them.
    "sum": torch.sum,
}

EMPTY_POLICIES = ("low", "high", "sample")
"""Where images without detections rank: last, first, or spread at random among the others."""

LOWEST, HIGHEST = -10.0, 1000.0
"""Below and above anything a strategy gives to an image with detections."""


def aggregate(values: Tensor, how: str) -> float:
    """(R,), R >= 1 -> one number."""
    return float(AGGREGATES[how](values))


def empty_score(policy: str, fraction: float, usual: tuple[float, float]) -> float:
    """The score of an image without detections.

    fraction  in [0, 1), random but fixed for the image: its place when the policy is `sample`
    usual     the lowest and the highest score the strategy usually gives
    """
    low, high = usual
    return {"low": LOWEST, "high": HIGHEST, "sample": low + fraction * (high - low)}[policy]
