"""Collects the losses of a run on the device and passes them to the log in groups."""

import time

import torch
from torch import Tensor

from app.engine.training.loop.train_loop import Iteration
from app.engine.training.process.ranks import Ranks
from app.engine.training.reporting.scalars import Scalars
from app.engine.training.state.divergence import DivergingError, LossHistory
from app.engine.training.state.run import Run

_UNTIMED = 2  # first iterations, in which libraries choose their fastest algorithms


class LossWatch:
    """Keeps the losses on the device until `look` reads them.

    Reading them waits for the device, so it is done only every 20 iterations, and before the
    weights are saved or evaluated.
    """

    def __init__(self, scalars: Scalars, history: LossHistory, ranks: Ranks) -> None:
        self.scalars = scalars
        self.history = history
        self.ranks = ranks
        self._pending: list[tuple[int, Iteration, Tensor]] = []
        self._timed = -_UNTIMED
        self.seconds = 0.0
        """Total time of the timed iterations."""

    @property
    def num_timed(self) -> int:
        """Iterations counted in `seconds`."""
        return max(0, self._timed)

    def add(self, run: Run, iteration: Iteration) -> None:
        """Keep the losses of this iteration, without reading them."""
        values = torch.stack([loss.reshape(()) for loss in iteration.losses.values()])
        self._pending.append((run.iteration - 1, iteration, values))

    def look(self, *, at_end: bool = False) -> None:
        """Add the losses to the scalars; raises DivergingError if they are not plausible.

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
        # The waiting time counts to the iterations that the device was still computing.
        waited = (time.perf_counter() - start) / len(self._pending)
        rows = self._averaged(table)
        pending, self._pending = self._pending, []
        for (number, iteration, _), losses in zip(pending, rows, strict=True):
            named = dict(zip(iteration.losses, losses, strict=True))
            self._put(number, iteration, named, waited)

    def forget(self) -> None:
        """Drop the losses that were not read yet: the run goes back to a checkpoint."""
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
            # This is the message of detectron2.
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
