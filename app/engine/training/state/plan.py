"""How many iterations a run has, after which of them it is evaluated, and how long that takes."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from app.engine.training.process.ranks import Ranks
from app.engine.training.request import TrainRequest
from app.engine.training.state.pace import Pace

logger = logging.getLogger(__name__)

TELL_AFTER = 21
"""Iterations after which the pace is known: a GPU has finished what the first 20 asked it for."""

_TELL_SOONER_S = 30.0  # where iterations take seconds, the first few of them tell enough
_EVALUATION_COST = 0.5  # time to evaluate an image / time to train on it, roughly


class Plan:
    """A fixed number of iterations; when their pace is known, the log says how long they take.

    max_iter     the run ends after so many iterations
    evaluations  numbers of finished iterations after which the model is evaluated, ascending
    cost         rough duration of an evaluation, in iterations, until one was measured
    started      value of the clock when this run, or its continuation, was started
    """

    def __init__(
        self,
        ranks: Ranks,
        pace: Pace,
        *,
        max_iter: int,
        evaluations: Sequence[int],
        cost: float,
        started: float,
    ) -> None:
        self.ranks = ranks
        self.pace = pace
        self.max_iter = max_iter
        self._evaluations = evaluations
        self._cost = cost
        self._started = started
        self._before_s = 0.0  # seconds that the run took before it was started again
        self._told = False

    def begin(self, iteration: int) -> None:
        """The first iteration of this process comes next, after `iteration` finished ones."""
        self.pace.begin()

    def count(self, iteration: int) -> None:
        """One more iteration is finished, `iteration` in all."""
        self.pace.iteration()
        if self._told or not self.ranks.is_first or not self._is_pace_known:
            return
        self._told = True
        left = self.max_iter - iteration
        evaluations = sum(number > iteration for number in self._evaluations)
        self._tell("this training takes", left, evaluations, self._seconds(left, evaluations))

    def is_due(self, iteration: int) -> bool:
        """Return whether all processes must call `revise`; False but in the first process."""
        return False

    def revise(self, iteration: int) -> None:
        """Agree with the other processes on the rest of the run."""

    def is_evaluated_after(self, iteration: int) -> bool:
        """Return whether the model is evaluated after `iteration` iterations."""
        return iteration in self._evaluations

    def evaluation(self) -> AbstractContextManager[None]:
        """Return a context for an evaluation, whose duration is measured."""
        return self.pace.evaluation()

    def lengths(self) -> dict[str, Any]:
        """Return the config's keys that the plan has changed, with their values."""
        return {}

    def tell_end(self, iteration: int) -> None:
        """Log how the plan was met."""

    @property
    def spent_s(self) -> float:
        """Seconds that the run has taken, with the time before it was interrupted."""
        return self._before_s + self.pace.clock() - self._started

    def state_dict(self) -> dict[str, Any]:
        """Return the time spent, for a checkpoint."""
        return {"seconds": self.spent_s, "started": self._started, "before": self._before_s}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Count the time of `state`, too; None: the checkpoint does not know it."""
        if state is None:
            return
        # A run that goes back to its own checkpoint has spent the time since then as well.
        is_own = state["started"] == self._started
        self._before_s = float(state["before"] if is_own else state["seconds"])

    @property
    def _is_pace_known(self) -> bool:
        count = self.pace.count
        return count >= TELL_AFTER or (count >= 3 and self.pace.elapsed_s > _TELL_SOONER_S)

    def _iteration_s(self) -> float | None:
        return self.pace.iteration_s

    def _evaluation_s(self) -> float:
        if self.pace.evaluation_s is not None:
            return self.pace.evaluation_s
        return self._cost * (self._iteration_s() or 0.0)

    def _seconds(self, iterations: int, evaluations: int) -> float:
        return iterations * (self._iteration_s() or 0.0) + evaluations * self._evaluation_s()

    def _tell(self, what: str, iterations: int, evaluations: int, seconds: float) -> None:
        logger.info(
            "%s about %s: %d iterations of %.2g s%s",
            what,
            spoken(seconds),
            iterations,
            self._iteration_s() or 0.0,
            f", {evaluations} evaluations of about {self._evaluation_s():.2g} s"
            if evaluations
            else "",
        )


def spoken(seconds: float) -> str:
    """Return a duration as hours:minutes:seconds."""
    return str(timedelta(seconds=round(max(seconds, 0.0))))


def evaluated_after(request: TrainRequest) -> list[int]:
    """Return the iterations after which the model is evaluated: periodically, and at the end."""
    cfg = request.cfg
    if not request.val_records:
        return []
    period, max_iter = int(cfg.TEST.EVAL_PERIOD), int(cfg.SOLVER.MAX_ITER)
    return [*(range(period, max_iter, period) if period > 0 else ()), max_iter]


def evaluation_cost(request: TrainRequest) -> float:
    """Return about how many iterations take as long as an evaluation."""
    return _EVALUATION_COST * len(request.val_records) / float(request.cfg.SOLVER.IMS_PER_BATCH)
