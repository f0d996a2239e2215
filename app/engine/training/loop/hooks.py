"""Hooks that run after every iteration: they log, evaluate, save, report progress and draw.

Each function returns a hook of the loop. Their order matters: numbers are checked before anything
is evaluated or saved, and a checkpoint is written before an evaluation that might be killed.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

import torch

from app.engine.training.loop.loss_watch import LossWatch
from app.engine.training.loop.train_loop import Hook, Iteration
from app.engine.training.process.ranks import Ranks
from app.engine.training.reporting.log_line import log_line
from app.engine.training.reporting.pictures import PictureBook
from app.engine.training.reporting.progress import ProgressMeter
from app.engine.training.reporting.writers import Writers
from app.engine.training.state.divergence import DivergingError
from app.engine.training.state.run import Finished, Run
from app.engine.training.validation.losses import losses_are_finite

logger = logging.getLogger(__name__)

LOG_PERIOD = 20


def watch_losses(watch: LossWatch) -> Hook:
    """Collect losses; read and check them every 20 iterations and at the end."""

    def hook(run: Run, iteration: Iteration) -> None:
        watch.add(run, iteration)
        if run.iteration % LOG_PERIOD == 0 or iteration.is_last or iteration.stop:
            watch.look(at_end=iteration.is_last)

    return hook


def log(watch: LossWatch, writers: Writers, *, device: torch.device) -> Hook:
    """Write detectron2's line, metrics.json and TensorBoard, every 20 iterations and at the end."""
    scalars = watch.scalars

    def hook(run: Run, iteration: Iteration) -> None:
        if run.iteration % LOG_PERIOD and not iteration.is_last:
            return
        seconds = scalars.median_of("time")
        eta_s = None if seconds is None else seconds * (run.plan.max_iter - run.iteration)
        if eta_s is not None:
            scalars.put(run.iteration - 1, {"eta_seconds": eta_s}, smoothed=False)
        memory = _peak_memory_mib(device)
        line = log_line(scalars, iteration=run.iteration - 1, eta_s=eta_s, max_mem_mib=memory)
        logger.info("%s", line)
        writers.write()

    return hook


def _peak_memory_mib(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def require_finite_outputs(
    ranks: Ranks, *, dtype: torch.dtype | None, is_due: Callable[[Run], bool]
) -> Hook:
    """Check outputs before an evaluation and at the end: finite weights may still give NaN."""

    def hook(run: Run, iteration: Iteration) -> None:
        if not (iteration.is_last or is_due(run)):
            return
        finite = losses_are_finite(run.best_model, iteration.samples[:1], dtype=dtype)
        (is_lost,) = ranks.any((not finite,))
        if is_lost:
            raise DivergingError(
                f"The outputs of the model after iteration {run.iteration} are infinite or NaN"
            )

    return hook


def unless_stopping(work: Callable[[Run], None]) -> Hook:
    """Do `work`, unless the run was asked to stop."""

    def hook(run: Run, iteration: Iteration) -> None:
        if not iteration.stop:
            work(run)

    return hook


def save(write: Callable[[Run], None], *, period: int) -> Hook:
    """Save every `period` iterations, when a checkpoint is due, when stopping and at the end."""

    def hook(run: Run, iteration: Iteration) -> None:
        by_count = period > 0 and run.iteration % period == 0
        if by_count or iteration.save or iteration.stop or iteration.is_last:
            write(run)

    return hook


def stop_when_asked() -> Hook:
    """End the run if it was asked to stop. This must be the last hook."""

    def hook(run: Run, iteration: Iteration) -> None:
        if iteration.stop:
            logger.info("Stopping after iteration %d as asked; start again to go on", run.iteration)
            raise Finished(stopped=True)

    return hook


def report_progress(meter: ProgressMeter) -> Hook:
    """Report the progress of the run."""

    def hook(run: Run, iteration: Iteration) -> None:
        meter.iterations(run.iteration)

    return hook


def draw_batches(book: PictureBook, writers: Writers, *, period: int) -> Hook:
    """Draw a training batch every `period` iterations; 0: never."""

    def hook(run: Run, iteration: Iteration) -> None:
        if period and run.iteration % period == 0:
            picture = book.training_batch(iteration.samples)
            writers.picture("training/batch", picture, run.iteration - 1)

    return hook


def log_speed(watch: LossWatch, *, total_s: float) -> None:
    """Log detectron2's two closing lines, which scripts parse."""
    if watch.num_timed and watch.seconds > 0:
        logger.info(
            "Overall training speed: %d iterations in %s (%.4f s / it)",
            watch.num_timed,
            timedelta(seconds=int(watch.seconds)),
            watch.seconds / watch.num_timed,
        )
    logger.info(
        "Total training time: %s (%s on hooks)",
        timedelta(seconds=int(total_s)),
        timedelta(seconds=int(max(0.0, total_s - watch.seconds))),
    )
