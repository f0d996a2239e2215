"""The losses of a run on their way from the device to the log."""

import time

import torch
from torch import Tensor

from app.engine.training.loop.train_loop import Iteration
from app.engine.training.process.ranks import Ranks
from app.engine.training.reporting.scalars import Scalars
from app.engine.training.state.divergence import DivergingError, LossHistory
from app.engine.training.state.run import Run

_UNTIMED = 2  # first iterations, in which libraries look for their best algorithms


class LossWatch:
    """Losses of the iterations since the last look, left on the device until then.

    Looking at them waits for the device, so it is done every 20 iterations, and before anything
    is made of the weights.
    """

    def __init__(self, scalars: Scalars, history: LossHistory, ranks: Ranks) -> None:
        self.scalars = scalars
        self.history = history
        self.ranks = ranks
        self._pending: list[tuple[int, Iteration, Tensor]] = []
        self._timed = -_UNTIMED
        self.seconds = 0.0
        """Spent in timed iterations."""

    @property
    def num_timed(self) -> int:
        """Iterations counted in `seconds`."""
        return max(0, self._timed)

    def add(self, run: Run, iteration: Iteration) -> None:
        """A hook: keep the losses of this iteration."""
        values = torch.stack([loss.reshape(()) for loss in iteration.losses.values()])
        self._pending.append((run.iteration - 1, iteration, values))

    def look(self, *, at_end: bool = False) -> None:
        """Put the losses among the scalars; raises DivergingError where they make no sense.

        at_end  no iteration will follow
        """
        if self._pending:
            self._take_pending()
        complaint = self.history.complaint(at_end=at_end)
        if complaint:
            raise DivergingError(complaint)

    def _take_pending(self) -> None:
        start = time.perf_counter()
        table = torch.stack([values for _, _, values in self._pending]).cpu()
        # The wait belongs to the iterations that were still being computed.
        waited = (time.perf_counter() - start) / len(self._pending)
        rows = self._averaged(table)
        pending, self._pending = self._pending, []
        for (number, iteration, _), losses in zip(pending, rows, strict=True):
            named = dict(zip(iteration.losses, losses, strict=True))
            self._put(number, iteration, named, waited)

    def forget(self) -> None:
        """Drop what was not looked at: the run goes back to a checkpoint."""
        self._pending.clear()

    def _averaged(self, table: Tensor) -> list[list[float]]:
        flat = self.ranks.mean(table.flatten().tolist())
        width = table.shape[1]
        return [flat[start : start + width] for start in range(0, len(flat), width)]

    def _put(
        self, number: int, iteration: Iteration, losses: dict[str, float], waited: float
    ) -> None:
        total = sum(losses.values())
        if not abs(total) < float("inf"):
            # The message is detectron2's.
            raise DivergingError(
                f"Loss became infinite or NaN at iteration={number}! loss_dict = {losses}"
            )
        self.history.add(total)
        times = {"rank_data_time": iteration.data_s, "data_time": iteration.data_s}
        self.scalars.put(number, times)
        self.scalars.put(number, {"total_loss": total})
        if len(losses) > 1:
            self.scalars.put(number, losses)
        self._timed += 1
        if self._timed > 0:
            seconds = iteration.seconds + waited
            self.seconds += seconds
            self.scalars.put(number, {"time": seconds})
        self.scalars.put(number, {"lr": iteration.lr}, smoothed=False)
