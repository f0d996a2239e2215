"""`--measure`: a few real iterations, for the time and the memory that the training will take."""

import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.check._finding import Finding, Severity
from app.check._subject import Subject
from executor.hyperparameters import TrainHyperparameters

_WARM_UP = 2
_ITERATIONS = 6
"""Iterations that are timed; the first ones, in which buffers are made, are not."""
_LONGEST_S = 60.0
"""After this time the measurement ends with the iterations that are done."""


def look(subject: Subject) -> Iterator[Finding]:
    """Seconds of an iteration, of the whole training, and the peak of memory."""
    if not subject.measure:
        return
    if not subject.trains:
        yield Finding(Severity.NOTE, "--measure runs a training's iterations; this is no training")
        return
    if not subject.has_objects:
        return
    times, max_iter, gpu_bytes = _iterate(subject)
    iteration_s = statistics.median(times)
    # A process and its readers: the kernel counts the largest child, of which there are several.
    own, child = (
        resource.getrusage(who).ru_maxrss / (1 << 20)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    memory = f"{own:.1f} GiB of memory"
    if subject.hp.num_workers:
        memory += f", and up to {child:.1f} GiB in each of {subject.hp.num_workers} readers"
    if gpu_bytes:
        memory += f", {gpu_bytes / (1 << 30):.1f} GiB of the GPU"
    yield Finding(
        Severity.NOTE,
        f"an iteration of {subject.hp.batch_size} images takes {iteration_s:.2f} s on this machine"
        f" (median of {len(times)}); {_length(subject.hp, max_iter, iteration_s)}, without "
        f"evaluations; the peak was {memory}",
        subject.settings_file,
    )


def _length(hp: TrainHyperparameters, max_iter: int, iteration_s: float) -> str:
    time_s = iteration_s * max_iter
    if not hp.max_minutes or time_s < 60 * hp.max_minutes:
        return f"{max_iter} iterations take {_spoken(time_s)}"
    fit = 60 * hp.max_minutes / iteration_s
    return f"about {fit:.0f} iterations fit into {hp.max_minutes:g} minutes"


def _iterate(subject: Subject) -> tuple[list[float], int, int]:
    """Train for a moment in a temporary folder: seconds of iterations, their planned number, and
    the bytes of the GPU's peak.
    """
    from app.engine.data.images.depth_of_set import with_depth
    from app.engine.training.request import TrainRequest
    from app.engine.training.train import train
    from app.tasks.devices import device_ids, device_names, gains_by_mixed_precision
    from app.tasks.engine_config import training_config
    from app.tasks.workers import limited_workers

    hp, records = subject.hp, subject.training.records
    devices = device_names(device_ids(hp))
    cfg = training_config(
        hp,
        subject.options,
        device=devices[0],
        num_images=len(records),
        weights="",  # their values do not change the time
        gains_by_mixed_precision=gains_by_mixed_precision(devices[0]),
    )
    cfg = with_depth(cfg, (record.path for record in records))
    clock = _Clock(subject)
    with tempfile.TemporaryDirectory(prefix="detex-check-") as folder:
        request = TrainRequest(
            cfg,
            records,
            list(hp.class_names),
            Path(folder),
            devices=devices,
            num_workers=limited_workers(hp.num_workers, processes=len(devices)),
            should_stop=clock.tick,
        )
        train(request)
    return clock.times(), int(cfg.SOLVER.MAX_ITER), _gpu_peak(devices[0])


class _Clock:
    """Notes the time after each iteration."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._ticks = [time.perf_counter()]

    def tick(self) -> bool:
        """Whether enough iterations are done."""
        self._ticks.append(time.perf_counter())
        done = len(self._ticks) - 1
        self._subject.progress(
            min(done / (_WARM_UP + _ITERATIONS), 1.0), "running a few iterations"
        )
        late = self._ticks[-1] - self._ticks[0] > _LONGEST_S
        return done >= _WARM_UP + _ITERATIONS or (late and done > 1)

    def times(self) -> list[float]:
        """Seconds of each iteration after the first ones."""
        all_times = [end - start for start, end in zip(self._ticks, self._ticks[1:], strict=False)]
        return all_times[_WARM_UP:] or all_times[-1:]


def _gpu_peak(device: str) -> int:
    if device == "cpu":
        return 0
    import torch

    return int(torch.cuda.max_memory_allocated(device))


def _spoken(seconds: float) -> str:
    """A duration for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
