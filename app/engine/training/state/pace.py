"""How long iterations and evaluations take on this machine, measured while they happen."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import fmean

_RECENT = 100  # iterations whose mean is the pace: enough for images of many sizes
_UNTIMED = 2  # first iterations, in which workers start and libraries choose algorithms


class Pace:
    """Seconds of an iteration, with everything between two of them but evaluations, and of those.

    clock  returns seconds, from any zero
    count  number of iterations measured
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.count = 0
        self.evaluation_s: float | None = None
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._before = self._began = clock()

    def begin(self) -> None:
        """The next iteration begins now; what was measured before is forgotten."""
        self.count = 0
        self._recent.clear()
        self._before = self._began = self.clock()

    def iteration(self) -> None:
        """An iteration has ended, and the next one begins."""
        now = self.clock()
        self.count += 1
        if self.count == 2 * _UNTIMED + 1:  # fewer iterations are better than none
            self._recent = deque(list(self._recent)[_UNTIMED:], maxlen=_RECENT)
        self._recent.append(now - self._before)
        self._before = now

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """The block is an evaluation, whose time does not count to the iterations."""
        start = self.clock()
        yield
        self.evaluation_s = self.clock() - start
        self._before += self.evaluation_s

    @property
    def iteration_s(self) -> float | None:
        """Mean seconds of the recent iterations; None: none was measured."""
        return fmean(self._recent) if self._recent else None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning of the first iteration."""
        return self.clock() - self._began
