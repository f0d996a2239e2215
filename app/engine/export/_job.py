"""The input of an export."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from app.engine.config import CfgNode
from app.engine.modeling.detector import Detector
from app.engine.structures.record import ImageRecord
from app.engine.structures.size import Size
from common.progress import Progress, ticking


def _ignore(_fraction: float) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """A trained model, and images for verifying its exports.

    model        model in eval mode, on the CPU
    directory    folder for the exported files
    weights      the file that the model's weights come from, or None
    images       photographs: the first ones for comparing with the engine, all to calibrate (int8)
    validation   labelled images, for measuring the loss of AP (int8)
    num_workers  number of processes that read images
    progress     called by slow exports with the share done, rising from 0 to 1
    input_size   height and width of the only image that a raw file takes; None: any images
    opset        version of ONNX's operators in a raw file; 0: that of the other files
    """

    model: Detector
    cfg: CfgNode
    class_names: Sequence[str]
    directory: Path
    weights: Path | None = None
    images: Sequence[Path] = ()
    validation: Sequence[ImageRecord] = ()
    num_workers: int = 0
    progress: Progress = _ignore
    input_size: Size | None = None
    opset: int = 0


class Steps:
    """Reports a number of equal steps from `start` to 1 to `progress`, one at each call."""

    def __init__(self, progress: Progress, number: int, *, start: float = 0.0) -> None:
        self._progress = progress
        self._number = number
        self._start = start
        self._done = 0

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._start + (1.0 - self._start) * self._done / self._number)


def time_passing(
    progress: Progress, seconds: float, *, period: float = 5.0
) -> AbstractContextManager[None]:
    """Report estimated progress during a block of about `seconds` that reports none itself."""
    started = time.monotonic()
    return ticking(
        lambda: progress(1.0 - math.exp(-(time.monotonic() - started) / seconds)), period
    )


def spread(paths: Sequence[Path], number: int) -> list[Path]:
    """Return at most `number` of the paths, evenly spaced."""
    if len(paths) <= number:
        return list(paths)
    return [paths[index * len(paths) // number] for index in range(number)]


Exporter = Callable[[ExportJob], list[Path]]
"""Writes a model for another program; returns the files. Raises ExportError if impossible."""
