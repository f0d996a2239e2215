"""Engines that train: each does whole steps (forward, backward, update) on the same batch."""

from collections.abc import Callable, Sequence
from importlib import import_module

from benchmarks.speed.engines import Workload
from benchmarks.speed.train_batch import LabelledImage

TrainStep = Callable[[], dict[str, float]]
"""One step; it returns the losses as numbers, so that the device has finished."""

MODULES = {
    "ours": "benchmarks.speed.train_ours",
    "d2": "benchmarks.speed.train_detectron2",
    "torchvision": "benchmarks.speed.train_torchvision",
}
"""Module with `load(workload, precision, batch) -> TrainStep`."""

LEARNING_RATE = 1e-4


def load_trainer(
    kind: str, workload: Workload, precision: str, batch: Sequence[LabelledImage]
) -> TrainStep:
    """Import and build one; only ever called in the engine's own process."""
    step: TrainStep = import_module(MODULES[kind]).load(workload, precision, batch)
    return step
