"""Losses without training: of validation images, or to check that outputs are finite."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from app.engine.evaluation.inference import in_halves
from app.engine.layers.precision import autocast
from app.engine.modeling.detector import Detector
from app.engine.structures.sample import Sample
from app.engine.training.process.rng import rng_preserved


def losses_are_finite(model: Detector, samples: list[Sample], *, dtype: torch.dtype | None) -> bool:
    """Return whether the losses of `model` are finite, with norms in evaluation mode."""
    with rng_preserved(), torch.no_grad(), training_without_traces(model):
        losses = summed_losses(model, samples, dtype)
    return all(math.isfinite(float(value)) for value in losses.values())


def summed_losses(
    model: Detector, samples: list[Sample], dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Return each loss times the number of images; computed in halves if memory is too small."""

    def sums(part: list[Sample]) -> dict[str, Tensor]:
        with autocast(model.device, dtype):
            losses = model.losses(part)
        return {name: loss.detach().double() * len(part) for name, loss in losses.items()}

    return reduce(added, in_halves(sums, samples))


def added(sums: dict[str, Tensor], more: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the sums of each loss."""
    total = dict(sums)
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value
    return total


@contextmanager
def training_without_traces(model: Detector) -> Iterator[None]:
    """Set `model` to training mode without changing its norm statistics and loss normalisers."""
    was_training, state = model.training, model.training_state()
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    try:
        yield
    finally:
        model.train(was_training)
        model.load_training_state(state)


def mean_losses(shares: Sequence[dict[str, tuple[float, int]]]) -> dict[str, float]:
    """Return the mean losses over the images of all processes, and their total: `validation_*`.

    shares  for each process, the sum of each loss over images and the number of images
    """
    means: dict[str, float] = {}
    for name in dict.fromkeys(name for share in shares for name in share):
        parts = [share[name] for share in shares if name in share]
        total = sum(number for _, number in parts)
        means[f"validation_{name}"] = sum(value for value, _ in parts) / total
    if means:
        means["validation_total_loss"] = math.fsum(means.values())
    return means
