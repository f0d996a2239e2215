"""Disagreement between neighbouring cells of the dense class maps; no detection is needed.

Aghdam et al., Active learning for deep detection neural networks, ICCV 2019. Neighbouring cells
have similar probabilities where a detector is certain, but not at false negatives and positives.
K: foreground classes; h, w: cells of one level
"""

from collections.abc import Sequence
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from app.engine.errors import ConfigError
from app.engine.mining._strategy import Candidate, MiningModel, MiningOptions, Strategy
from app.engine.mining.entropy import binary_entropy

NEIGHBOURHOOD = 9
TILE = 32
"""Sides of a neighbourhood, and of a tile whose maximum is taken, in cells of the finest level."""


def score(
    candidates: Sequence[Candidate], model: MiningModel, options: MiningOptions
) -> list[float | None]:
    """Return the weighted mean over classes of the mean over levels of `disagreement`."""
    scores: list[float | None] = []
    for levels in model.dense_class_probs([candidate.image for candidate in candidates]):
        grid = levels[0].shape[-2:]
        by_class = torch.stack([disagreement(on_grid(level, grid)) for level in levels]).mean(0)
        scores.append(float(by_class @ _weights(options, by_class)))
    return scores


def disagreement(probs: Tensor) -> Tensor:
    """Return entropy of the neighbourhood's mean - its mean entropy; tile maxima, averaged.

    This is a Jensen-Shannon divergence, never negative, in bits: (K, h, w) -> (K,).
    """
    divergence = binary_entropy(_neighbourhood_mean(probs)) - _neighbourhood_mean(
        binary_entropy(probs)
    )
    return F.max_pool2d(divergence, TILE, ceil_mode=True).mean(dim=(1, 2)).clamp_(min=0)


def on_grid(probs: Tensor, size: Sequence[int]) -> Tensor:
    """Resample the map of a level to `size` cells: (K, h, w) -> (K, *size)."""
    if tuple(probs.shape[-2:]) == tuple(size):
        return probs.float()
    return F.interpolate(probs[None].float(), tuple(size), mode="bilinear")[0]


def _neighbourhood_mean(values: Tensor) -> Tensor:
    """Apply a box filter as two products with band matrices, 3 times as fast as pooling."""
    rows, columns = (_window(values, length) for length in values.shape[-2:])
    return rows @ values @ columns.T


def _window(like: Tensor, length: int) -> Tensor:
    """Return (length, length): row i averages the cells within half a neighbourhood of i."""
    cells = torch.arange(length, device=like.device)
    near = ((cells[:, None] - cells).abs() <= NEIGHBOURHOOD // 2).to(like.dtype)
    return near / near.sum(dim=1, keepdim=True)


def _weights(options: MiningOptions, by_class: Tensor) -> Tensor:
    given = options.class_weights or (1.0,) * len(by_class)
    if len(given) != len(by_class):
        raise ConfigError(
            f"class_weights have {len(given)} numbers, but this model's dense maps tell "
            f"{len(by_class)} classes apart; give as many or leave them empty"
        )
    weights = by_class.new_tensor(given)
    return weights / weights.sum()


STRATEGY = Strategy(
    score,
    prefers="doubtful regions, small objects",
    about="disagreement between neighbouring cells of the dense class maps",
    advice="many small objects; images in which the model finds nothing",
    uses=("class_weights",),
    of_tiles=fmean,  # as the maxima in parts of the class maps are averaged
)
