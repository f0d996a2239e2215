"""What there is to export."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from app.engine.config import CfgNode
from app.engine.modeling.detector import Detector
from app.engine.structures.sample import ImageRecord
from common.progress import Progress, ticking


def _ignore(_fraction: float) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """A trained model and the pictures to judge its exports by.

    model        in eval mode, on the CPU
    directory    where the files go
    weights      the file that the model's weights come from, or None
    images       photographs: compared with the engine on the first, calibrated on all (int8)
    validation   labelled images, for the loss of AP (int8)
    num_workers  processes that read images
    progress     told 0 to 1, never less than before, by exports that take long
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


class Steps:
    """Tells `progress` of a number of equal steps from `start` to 1, one at each call."""

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
    """Tell `progress` that time passes in a block of about `seconds`, which cannot tell itself."""
    started = time.monotonic()
    return ticking(
        lambda: progress(1.0 - math.exp(-(time.monotonic() - started) / seconds)), period
    )


def spread(paths: Sequence[Path], number: int) -> list[Path]:
    """At most `number` of the paths, evenly from first to last."""
    if len(paths) <= number:
        return list(paths)
    return [paths[index * len(paths) // number] for index in range(number)]


Exporter = Callable[[ExportJob], list[Path]]
"""Writes a model for another program: the files written. ExportError where that cannot be."""
