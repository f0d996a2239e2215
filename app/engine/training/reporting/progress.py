"""The progress of a run as one fraction, which never decreases."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from common.progress import Progress, ticking

_MIN_PAUSE_S = 0.5
_TICK_S = 3.0


class ProgressMeter:
    """Turns iterations and evaluations into a fraction.

    report          called with a rising number in [0, 1], at most twice a second
    max_iter        iterations of the run
    evaluations     numbers of finished iterations after which the model is evaluated, ascending
    evaluation_cost approximate duration of one evaluation, in iterations
    """

    def __init__(
        self,
        report: Progress,
        *,
        max_iter: int,
        evaluations: Sequence[int],
        evaluation_cost: float,
    ) -> None:
        self._report = report
        self._evaluations = evaluations
        self._cost = evaluation_cost
        self._total = max_iter + evaluation_cost * len(evaluations)
        self._fraction = 0.0
        self._last_report = 0.0
        self._lock = threading.Lock()

    def iterations(self, finished: int) -> None:
        """Report that `finished` iterations, and all evaluations before, are finished."""
        earlier = bisect_left(self._evaluations, finished)
        self._advance((finished + self._cost * earlier) / self._total)

    def evaluation(self, finished: int, share: float) -> None:
        """Report that `share` of the evaluation after `finished` iterations is done."""
        earlier = bisect_left(self._evaluations, finished)
        self._advance((finished + self._cost * (earlier + share)) / self._total)

    def done(self) -> None:
        """Report the end of the run, perhaps an early one."""
        self._last_report = 0.0
        self._advance(1.0)

    def ticking(self) -> AbstractContextManager[None]:
        """Repeat the report every 3 s during work that reports no progress itself."""
        return ticking(self._tick, _TICK_S)

    def _tick(self) -> None:
        self._advance(0.0)

    def _advance(self, fraction: float) -> None:
        with self._lock:
            self._fraction = max(self._fraction, min(fraction, 1.0))
            now = time.monotonic()
            if now - self._last_report >= _MIN_PAUSE_S:
                self._last_report = now
                self._report(self._fraction)


class TimeMeter(ProgressMeter):
    """Reports the share of a run's time that is over.

    fraction  returns that share, from 0 to 1
    """

    def __init__(self, report: Progress, fraction: Callable[[], float]) -> None:
        super().__init__(report, max_iter=1, evaluations=(), evaluation_cost=0.0)
        self._time = fraction

    def iterations(self, finished: int) -> None:
        """Report the time; `finished` does not matter."""
        self._tick()

    def evaluation(self, finished: int, share: float) -> None:
        """Report the time; the arguments do not matter."""
        self._tick()

    def _tick(self) -> None:
        self._advance(self._time())
