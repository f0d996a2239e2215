"""Losses that nothing is learnt from: of validation images, or to see whether there are numbers."""

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
    """Whether `model`, as it detects, gives numbers for these training samples."""
    with rng_preserved(), torch.no_grad(), training_without_traces(model):
        losses = summed_losses(model, samples, dtype)
    return all(math.isfinite(float(value)) for value in losses.values())


def summed_losses(
    model: Detector, samples: list[Sample], dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Each loss times the number of images; of halves where memory is too small for all."""

    def sums(part: list[Sample]) -> dict[str, Tensor]:
        with autocast(model.device, dtype):
            losses = model.losses(part)
        return {name: loss.detach().double() * len(part) for name, loss in losses.items()}

    return reduce(added, in_halves(sums, samples))


def added(sums: dict[str, Tensor], more: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sums of each loss, over both."""
    total = dict(sums)
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value
    return total


@contextmanager
def training_without_traces(model: Detector) -> Iterator[None]:
    """`model` in training mode, its norms and loss normalisers left as they are."""
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
    """Averages over the images of all processes, and their total, as `validation_*`.

    shares  sum over images of each loss, and the number of images, of each process
    """
    means: dict[str, float] = {}
    for name in dict.fromkeys(name for share in shares for name in share):
        parts = [share[name] for share in shares if name in share]
        total = sum(number for _, number in parts)
        means[f"validation_{name}"] = sum(value for value, _ in parts) / total
    if means:
        means["validation_total_loss"] = math.fsum(means.values())
    return means
