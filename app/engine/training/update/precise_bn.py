"""Batch-norm statistics measured over many batches, in place of the running average.

The running average contains statistics of older weights. Before an evaluation, the statistics are
measured again with the current weights (https://arxiv.org/abs/2105.07576).
"""

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from itertools import islice

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from app.engine.layers.precision import autocast
from app.engine.modeling.detector import Detector
from app.engine.structures.sample import Sample
from app.engine.training.process.rng import rng_preserved

logger = logging.getLogger(__name__)


def measure_norms(
    model: Detector,
    batches: Callable[[], Generator[list[Sample]]],
    *,
    num_batches: int,
    dtype: torch.dtype | None,
) -> None:
    """Measure the statistics of a model's batch norms again; nothing else changes.

    batches  training batches from the first one, in the order of the run
    """
    model.train()
    if not _trained_norms(model):
        logger.info("PreciseBN is disabled: the model trains no batch norm.")
        return
    state = model.training_state()
    with rng_preserved(), closing(batches()) as chosen:
        update_statistics(model, chosen, num_batches=num_batches, device=model.device, dtype=dtype)
    model.load_training_state(state)


@torch.no_grad()
def update_statistics(
    model: nn.Module,
    batches: Iterable[list[Sample]],
    *,
    num_batches: int,
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> None:
    """Set mean and variance of every trained batch norm to those of the next `num_batches`.

    The variance is that of the population: the mean of squares less the square of the mean.
    """
    norms = _trained_norms(model)
    momenta = [norm.momentum for norm in norms]
    means = [torch.zeros_like(_mean(norm)) for norm in norms]
    squares = [torch.zeros_like(_mean(norm)) for norm in norms]
    logger.info("Running precise-BN for %d iterations...", num_batches)
    for norm in norms:
        norm.momentum = 1.0  # then the buffers hold the statistics of the latest batch alone
    seen = 0
    try:
        for samples in islice(batches, num_batches):
            with autocast(device, dtype):
                model(samples)
            seen += 1
            for norm, mean, square in zip(norms, means, squares, strict=True):
                assert norm.running_var is not None
                batch_mean = _mean(norm)
                mean += (batch_mean - mean) / seen
                square += (norm.running_var + batch_mean**2 - square) / seen
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    for norm, mean, square in zip(norms, means, squares, strict=True):
        assert norm.running_var is not None
        _mean(norm).copy_(mean)
        norm.running_var.copy_(square - mean**2)


def _mean(norm: _BatchNorm) -> torch.Tensor:
    assert norm.running_mean is not None
    return norm.running_mean


def _trained_norms(model: nn.Module) -> list[_BatchNorm]:
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]
