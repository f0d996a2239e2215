"""A random, balanced choice of examples.

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
    """Of each image, indices of at most `num_samples` examples (N,): positives and negatives.

    -1 is ignored, `background` is negative, all else positive. Positives take at most
    `positive_fraction` of the places; negatives fill the rest as far as there are any.
    """
    together = torch.cat(list(labels))
    is_negative = together == background
    is_positive = ~is_negative & (together != -1)
    chosen = []
    for positive, negative in _by_image(is_positive, is_negative, [len(part) for part in labels]):
        num_positive = min(len(positive), int(num_samples * positive_fraction))
        num_negative = min(len(negative), num_samples - num_positive)
        # Two draws, positives first, on the labels' device: detectron2's random stream.
        chosen_positive = torch.randperm(len(positive), device=together.device)[:num_positive]
        chosen_negative = torch.randperm(len(negative), device=together.device)[:num_negative]
        chosen.append((positive[chosen_positive], negative[chosen_negative]))
    return chosen


def _by_image(
    is_positive: Tensor, is_negative: Tensor, lengths: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """Indices within each image where both are True; three waits, whatever the number of images."""
    ends = torch.tensor([0, *lengths]).cumsum(0)
    found = [mask.nonzero()[:, 0] for mask in (is_positive, is_negative)]
    limits = move(ends, is_positive.device)
    cuts = torch.stack([torch.searchsorted(index, limits) for index in found]).tolist()
    parts = [
        [index[a:b] - start for (a, b), start in zip(pairwise(cut), ends.tolist(), strict=False)]
        for index, cut in zip(found, cuts, strict=True)
    ]
    return list(zip(*parts, strict=True))
