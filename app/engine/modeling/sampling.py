"""A random, balanced choice of examples."""

import torch
from torch import Tensor


def sample_labels(
    labels: Tensor, num_samples: int, positive_fraction: float, background: int
) -> tuple[Tensor, Tensor]:
    """Indices of at most `num_samples` examples of `labels` (N,): positives and negatives.

    -1 is ignored, `background` is negative, all else positive. Positives take at most
    `positive_fraction` of the places; negatives fill the rest as far as there are any.
    """
    positive = ((labels != -1) & (labels != background)).nonzero()[:, 0]
    negative = (labels == background).nonzero()[:, 0]
    num_positive = min(len(positive), int(num_samples * positive_fraction))
    num_negative = min(len(negative), num_samples - num_positive)
    # Two draws, positives first, on the labels' device: detectron2's random stream.
    chosen_positive = torch.randperm(len(positive), device=labels.device)[:num_positive]
    chosen_negative = torch.randperm(len(negative), device=labels.device)[:num_negative]
    return positive[chosen_positive], negative[chosen_negative]
