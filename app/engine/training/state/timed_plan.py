"""A run that is given minutes: its schedule is fitted to the iterations that they hold.

The learning rate follows the share of the schedule that is done. Each iteration adds an equal part
of what is left, and how many iterations are left follows from the time left and from the pace of
the latest ones; so the rate never jumps, and has decayed when the time is up. Order, augmentation
and content of the batches do not depend on the time, only the number of them and the rates do.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.engine.config import CfgNode
from app.engine.solver import Schedule, curve_over, rescaled
from app.engine.training.process.ranks import Ranks
from app.engine.training.state.pace import Pace
from app.engine.training.state.plan import Plan, spoken

logger = logging.getLogger(__name__)

MAX_EVALUATION_SHARE = 0.2
"""Evaluations are made less often when they would take more of the time."""

_SOON = (1, 2, 4, 8, 16)  # first iterations after which the plan is revised
_PERIOD = 20  # iterations between two revisions; the first after a GPU was waited for
_NEARLY_ALL = 0.95  # share of the schedule below which the end of time came unexpectedly
_CHANGED = 0.1  # a plan with a number of iterations that differs by more is told again
_CURVE_CHANGED = 0.02  # the curve is built anew for such a difference, for its warm-up


class TimedPlan(Plan):
    """As many iterations as fit into the time; the first process decides, all others follow.

    schedule      follows the plan
    cfg           SOLVER's schedule over MAX_ITER iterations, which are the most
    total_s       seconds of the whole run
    is_evaluated  whether there is a validation set
    last_cost     duration of the evaluation at the end / that of the others
    """

    def __init__(
        self,
        schedule: Schedule,
        ranks: Ranks,
        pace: Pace,
        cfg: CfgNode,
        *,
        is_evaluated: bool,
        cost: float,
        last_cost: float,
        started: float,
    ) -> None:
        most = int(cfg.SOLVER.MAX_ITER)
        super().__init__(ranks, pace, max_iter=most, evaluations=(), cost=cost, started=started)
        self.schedule = schedule
        self.total_s = 60 * float(cfg.SOLVER.MAX_MINUTES)
        self._cfg = _without_late_steps(cfg)
        self._most = most
        self._is_evaluated = is_evaluated
        self._last_cost = last_cost if is_evaluated else 0.0
        self._period = int(cfg.TEST.EVAL_PERIOD)
        self._least_gap = float(cfg.TEST.EVAL_SHARE)
        self._gap = self._least_gap  # share of the schedule between two evaluations; 0: by period
        self._evaluated_share = 0.0
        self._known_iteration_s: float | None = None  # from a checkpoint
        self._is_stale = False
        self._ends_s = self.total_s
        self._told_max = 0

    def begin(self, iteration: int) -> None:
        """See `Plan`."""
        super().begin(iteration)
        if self.ranks.is_first and not self._told_max:
            logger.info(
                "SOLVER.MAX_MINUTES %g: %s of %s are left; the schedule is fitted to what they "
                "hold, as the first iterations show",
                self.total_s / 60,
                spoken(self.total_s - self.spent_s),
                spoken(self.total_s),
            )
        self.revise(iteration)

    def count(self, iteration: int) -> None:
        """See `Plan`."""
        self.pace.iteration()

    def is_due(self, iteration: int) -> bool:
        """See `Plan`: after the first iterations, every 20, after evaluations, near the end."""
        if not self.ranks.is_first or iteration >= self.max_iter:
            return False
        count = self.pace.count
        is_near = self.max_iter - iteration <= _PERIOD or self._iterations_left() < 1
        return self._is_stale or count in _SOON or count % _PERIOD == 1 or is_near

    def revise(self, iteration: int) -> None:
        """See `Plan`."""
        found = self._revised(iteration) if self.ranks.is_first else None
        max_iter, self._gap = self.ranks.broadcast(found) or (self.max_iter, self._gap)
        self._is_stale = False
        if max_iter > iteration:
            known = self.schedule.max_iter
            curve = self.schedule.curve
            if abs(max_iter - known) > _CURVE_CHANGED * known:
                curve = curve_over(self._cfg, max_iter)
            if max_iter != known:
                self.schedule.aim(max_iter, curve)
        self.max_iter = max_iter
        if self.ranks.is_first and self._is_pace_known:
            self._tell_plan(iteration)

    def is_evaluated_after(self, iteration: int) -> bool:
        """See `Plan`: when a share of the schedule is done, or every EVAL_PERIOD iterations."""
        if not self._is_evaluated:
            return False
        if iteration >= self.max_iter:
            return True
        if not self._gap:
            return self._period > 0 and iteration > 0 and iteration % self._period == 0
        share = self.schedule.share
        return share >= self._evaluated_share + self._gap and share <= 1 - self._gap / 2

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """See `Plan`."""
        with self.pace.evaluation():
            yield
        self._is_stale = True
        self._evaluated_share = self.schedule.share

    def fraction(self) -> float:
        """Return the share of the run's time that is over."""
        return min(self.spent_s / max(self._ends_s, 1e-9), 1.0)

    def lengths(self) -> dict[str, Any]:
        """See `Plan`."""
        solver = rescaled(self._cfg, self.max_iter).SOLVER
        return {f"SOLVER.{key}": solver[key] for key in ("MAX_ITER", "STEPS", "WARMUP_ITERS")}

    def tell_end(self, iteration: int) -> None:
        """See `Plan`; a warning where the rate could not decay."""
        if self.ranks.is_first:
            share = self.schedule.share
            early = iteration >= self.max_iter and share < _NEARLY_ALL
            logger.log(
                logging.WARNING if early else logging.INFO,
                "SOLVER.MAX_MINUTES %g: %d iterations and %.0f %% of the schedule were done in %s",
                self.total_s / 60,
                iteration,
                100 * share,
                spoken(self.spent_s),
            )

    def state_dict(self) -> dict[str, Any]:
        """See `Plan`; the place in the schedule, too."""
        return super().state_dict() | {
            "total_s": self.total_s,
            "share": self.schedule.share,
            "evaluated_share": self._evaluated_share,
            "iteration_s": self._iteration_s(),
        }

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """See `Plan`; with other minutes, the share of the time is the place in the schedule."""
        super().load_state_dict(state)
        known = state or {}
        share = min(self.spent_s / self.total_s, 1.0) if state is not None else 0.0
        same = known.get("total_s") == self.total_s
        self._evaluated_share = known["evaluated_share"] if same else share
        self._known_iteration_s = known.get("iteration_s")
        self.max_iter = self._most
        self.schedule.aim(
            self._most, curve_over(self._cfg, self._most), share=known["share"] if same else share
        )

    def _revised(self, iteration: int) -> tuple[int, float]:
        """Return the number of iterations of the whole run, and the gap between evaluations."""
        gap = self._least_gap
        if gap and self._is_evaluated:
            gap = max(gap, self._evaluation_s() / (MAX_EVALUATION_SHARE * self.total_s))
        self._gap = gap
        least = 1 if iteration == 0 else 0  # a model that has learnt nothing is of no use
        if self._left_s() <= 0:
            return iteration + least, gap
        if not self._cycle_s():
            return self._most, gap
        most = self._most - iteration
        left = min(max(math.floor(self._iterations_left()), least), most)
        seconds = left * self._cycle_s() + self._between() * self._evaluation_s()
        self._ends_s = min(self.spent_s + seconds + self._closing_s(), self.total_s)
        return iteration + left, gap

    def _iterations_left(self) -> float:
        """How many iterations fit into the time left; a half is rounded away by the caller."""
        cycle_s = self._cycle_s()
        if not cycle_s:
            return math.inf
        left_s = self._left_s() - self._between() * self._evaluation_s()
        return left_s / cycle_s + 0.5

    def _left_s(self) -> float:
        return self.total_s - self.spent_s - self._closing_s()

    def _closing_s(self) -> float:
        """Duration of what follows the last iteration."""
        return self._last_cost * self._evaluation_s()

    def _cycle_s(self) -> float:
        """Duration of an iteration and of its part of the evaluations that come by period."""
        by_period = self._is_evaluated and self._period and not self._gap
        share = self._evaluation_s() / self._period if by_period else 0.0
        return (self._iteration_s() or 0.0) + share

    def _between(self) -> int:
        """How many evaluations, placed by share, come before the last one."""
        if not self._is_evaluated or not self._gap:
            return 0
        end = 1 - self._gap / 2
        return max(math.floor((end - self._evaluated_share) / self._gap + 1e-9), 0)

    def _iteration_s(self) -> float | None:
        measured = self.pace.iteration_s
        return self._known_iteration_s if measured is None else measured

    def _tell_plan(self, iteration: int) -> None:
        if abs(self.max_iter - self._told_max) <= _CHANGED * self._told_max:
            return
        what = "the plan has changed:" if self._told_max else "the plan:"
        self._told_max = self.max_iter
        left = self.max_iter - iteration
        evaluations = self._between() + self._is_evaluated
        self._tell(
            f"{what} the training goes on for", left, evaluations, self._ends_s - self.spent_s
        )


def _without_late_steps(cfg: CfgNode) -> CfgNode:
    """Return the config without the decays after its last iteration, of which it warns once."""
    most = cfg.SOLVER.MAX_ITER
    steps = tuple(step for step in cfg.SOLVER.STEPS if step <= most)
    return cfg.with_values({"SOLVER.STEPS": steps})
