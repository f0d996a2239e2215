"""What happens after an iteration, besides the next one: log, evaluate, save, report, draw.

Each function makes a hook of the loop. Order matters where they meet: numbers are checked before
anything is evaluated or saved, and a checkpoint comes before an evaluation that might be killed.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import torch
from torch import Tensor

from app.engine.training.distributed import Ranks
from app.engine.training.log_line import log_line
from app.engine.training.loop import Finished, Hook, Tick
from app.engine.training.loss_record import LossRecord
from app.engine.training.pictures import PictureBook
from app.engine.training.progress import ProgressMeter
from app.engine.training.run import Run
from app.engine.training.scalars import Scalars
from app.engine.training.writers import Writers

logger = logging.getLogger(__name__)

LOG_PERIOD = 20
_UNTIMED = 2  # first iterations, in which libraries look for their best algorithms


class LostError(Exception):
    """The run has left all sense: it must go back, or end."""


class NonFiniteLossError(LostError):
    """A loss became infinite or NaN; the message is detectron2's."""


class EnormousLossError(LostError):
    """A loss is finite, but beyond all sense."""


class LossWatch:
    """Losses of the iterations since the last look, left on the device until then.

    Looking at them waits for the device, so it is done every 20 iterations, and before anything
    is made of the weights.
    """

    def __init__(self, scalars: Scalars, record: LossRecord, ranks: Ranks) -> None:
        self.scalars = scalars
        self.record = record
        self.ranks = ranks
        self._pending: list[tuple[int, Tick, Tensor]] = []
        self._timed = -_UNTIMED
        self.seconds = 0.0
        """Spent in timed iterations."""

    @property
    def num_timed(self) -> int:
        """Iterations counted in `seconds`."""
        return max(0, self._timed)

    def add(self, run: Run, tick: Tick) -> None:
        """A hook: keep the losses of this iteration."""
        values = torch.stack([loss.reshape(()) for loss in tick.losses.values()])
        self._pending.append((run.iteration - 1, tick, values))

    def look(self, *, at_end: bool = False) -> None:
        """Put the losses among the scalars; raises LostError where they make no sense.

        at_end  no iteration will follow
        """
        if self._pending:
            self._take_pending()
        complaint = self.record.complaint(at_end=at_end)
        if complaint:
            raise EnormousLossError(complaint)

    def _take_pending(self) -> None:
        start = time.perf_counter()
        table = torch.stack([values for _, _, values in self._pending]).cpu()
        # The wait belongs to the iterations that were still being computed.
        waited = (time.perf_counter() - start) / len(self._pending)
        rows = self._averaged(table)
        pending, self._pending = self._pending, []
        for (iteration, tick, _), losses in zip(pending, rows, strict=True):
            named = dict(zip(tick.losses, losses, strict=True))
            self._put(iteration, tick, named, waited)

    def forget(self) -> None:
        """Drop what was not looked at: the run goes back to a checkpoint."""
        self._pending.clear()

    def _averaged(self, table: Tensor) -> list[list[float]]:
        flat = self.ranks.mean(table.flatten().tolist())
        width = table.shape[1]
        return [flat[start : start + width] for start in range(0, len(flat), width)]

    def _put(self, iteration: int, tick: Tick, losses: dict[str, float], waited: float) -> None:
        total = sum(losses.values())
        if not abs(total) < float("inf"):
            raise NonFiniteLossError(
                f"Loss became infinite or NaN at iteration={iteration}! loss_dict = {losses}"
            )
        self.record.add(total)
        times = {"rank_data_time": tick.data_s, "data_time": tick.data_s}
        self.scalars.put(iteration, times)
        self.scalars.put(iteration, {"total_loss": total})
        if len(losses) > 1:
            self.scalars.put(iteration, losses)
        self._timed += 1
        if self._timed > 0:
            self.seconds += tick.seconds + waited
            self.scalars.put(iteration, {"time": tick.seconds + waited})
        self.scalars.put(iteration, {"lr": tick.lr}, smoothed=False)


def watch_losses(watch: LossWatch, *, max_iter: int) -> Hook:
    """Collect losses, look at them every 20 iterations and at the end."""

    def hook(run: Run, tick: Tick) -> None:
        watch.add(run, tick)
        if run.iteration % LOG_PERIOD == 0 or run.iteration == max_iter or tick.stop:
            watch.look(at_end=run.iteration == max_iter)

    return hook


def log(watch: LossWatch, writers: Writers, *, max_iter: int, device: torch.device) -> Hook:
    """detectron2's line, metrics.json and TensorBoard, every 20 iterations and at the end."""
    scalars = watch.scalars

    def hook(run: Run, tick: Tick) -> None:
        if run.iteration % LOG_PERIOD and run.iteration != max_iter:
            return
        seconds = scalars.median_of("time")
        eta_s = None if seconds is None else seconds * (max_iter - run.iteration)
        if eta_s is not None:
            scalars.put(run.iteration - 1, {"eta_seconds": eta_s}, smoothed=False)
        memory = _peak_memory_mib(device)
        line = log_line(scalars, iteration=run.iteration - 1, eta_s=eta_s, max_mem_mib=memory)
        logger.info("%s", line)
        writers.write()

    return hook


def _peak_memory_mib(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def unless_stopping(work: Callable[[Run], None]) -> Hook:
    """Do `work`, unless somebody waits for the end."""

    def hook(run: Run, tick: Tick) -> None:
        if not tick.stop:
            work(run)

    return hook


def save(write: Callable[[Run], None], *, period: int, max_iter: int) -> Hook:
    """Save every `period` iterations, when the clock says so, when stopping and at the end."""

    def hook(run: Run, tick: Tick) -> None:
        by_count = period > 0 and run.iteration % period == 0
        if by_count or tick.save or tick.stop or run.iteration == max_iter:
            write(run)

    return hook


def stop_when_asked() -> Hook:
    """The last hook: end the run when somebody asked for it."""

    def hook(run: Run, tick: Tick) -> None:
        if tick.stop:
            logger.info("Stopping after iteration %d as asked; start again to go on", run.iteration)
            raise Finished(stopped=True)

    return hook


def report_progress(meter: ProgressMeter) -> Hook:
    """Tell how far the run is."""

    def hook(run: Run, tick: Tick) -> None:
        meter.iterations(run.iteration)

    return hook


def draw_batches(book: PictureBook, writers: Writers, *, period: int) -> Hook:
    """Show a training batch every `period` iterations; 0: never."""

    def hook(run: Run, tick: Tick) -> None:
        if period and run.iteration % period == 0:
            picture = book.training_batch(tick.samples)
            writers.picture("training/batch", picture, run.iteration - 1)

    return hook


def log_speed(watch: LossWatch, *, total_s: float) -> None:
    """detectron2's two closing lines; scripts grep them."""
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
