"""Draw a random, balanced sample of positive and negative examples.

N: examples of an image
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from app.engine.structures.moves import move


def sample_labels(
    labels: Sequence[Tensor], num_samples: int, positive_fraction: float, background: int
) -> list[tuple[Tensor, Tensor]]:
    """Draw at most `num_samples` examples of each image: indices of positives and of negatives.

    Label -1 is ignored, `background` is negative, all other labels (N,) are positive. At most
    `positive_fraction` of the samples are positive; the rest are negatives, if there are enough.
    """
    together = torch.cat(list(labels))
    is_negative = together == background
    is_positive = ~is_negative & (together != -1)
    chosen = []
    for positive, negative in _by_image(is_positive, is_negative, [len(part) for part in labels]):
        num_positive = min(len(positive), int(num_samples * positive_fraction))
        num_negative = min(len(negative), num_samples - num_positive)
        # As detectron2 draws: positives first, then negatives, on the labels' device.
        chosen_positive = torch.randperm(len(positive), device=together.device)[:num_positive]
        chosen_negative = torch.randperm(len(negative), device=together.device)[:num_negative]
        chosen.append((positive[chosen_positive], negative[chosen_negative]))
    return chosen


def _by_image(
    is_positive: Tensor, is_negative: Tensor, lengths: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """Indices of the True values of each image; waits for the device three times in all."""
    ends = torch.tensor([0, *lengths]).cumsum(0)
    found = [mask.nonzero()[:, 0] for mask in (is_positive, is_negative)]
    limits = move(ends, is_positive.device)
    cuts = torch.stack([torch.searchsorted(index, limits) for index in found]).tolist()
    parts = [
        [index[a:b] - start for (a, b), start in zip(pairwise(cut), ends.tolist(), strict=False)]
        for index, cut in zip(found, cuts, strict=True)
    ]
    return list(zip(*parts, strict=True))
