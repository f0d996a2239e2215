"""Numbers of a run by name and iteration, smoothed as in detectron2's log.

Iterations are 0-based here, as in detectron2's log.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, median

WINDOW = 20
"""Number of latest iterations whose median is shown."""

_KEPT = 1000  # samples, for the estimate of the time left


@dataclass(slots=True)
class Series:
    """Samples (iteration, value) of one number, oldest first.

    smoothed  the log shows a median over a window, else the latest value
    """

    smoothed: bool
    samples: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    total: float = 0.0
    count: int = 0

    @property
    def latest(self) -> float:
        """The newest value."""
        return self.samples[-1][1]

    @property
    def iteration(self) -> int:
        """The iteration of the newest value."""
        return self.samples[-1][0]

    @property
    def mean(self) -> float:
        """The mean of all values ever added."""
        return self.total / self.count

    def add(self, iteration: int, value: float) -> None:
        """Add one sample."""
        self.samples.append((iteration, value))
        self.total += value
        self.count += 1

    def recent(self, window: int = WINDOW) -> list[float]:
        """Return the values of the last `window` iterations up to the newest sample."""
        oldest = self.iteration - window
        return [value for iteration, value in self.samples if iteration > oldest]

    def shown(self, window: int = WINDOW) -> float:
        """Return the value that a log shows."""
        return median(self.recent(window)) if self.smoothed else self.latest


class Scalars:
    """Every number of a run, in the order in which names first appeared."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}

    def put(self, iteration: int, values: Mapping[str, float], *, smoothed: bool = True) -> None:
        """Add one sample for each name."""
        for name, value in values.items():
            self.series.setdefault(name, Series(smoothed)).add(iteration, float(value))

    def news(
        self, written: Mapping[str, int], *, window: int = WINDOW
    ) -> dict[int, dict[str, float]]:
        """Return the values that were not logged yet, by iteration, ascending.

        written  latest iteration already written, by name
        """
        rows: dict[int, dict[str, float]] = {}
        for name, series in self.series.items():
            if series.iteration > written.get(name, -1):
                rows.setdefault(series.iteration, {})[name] = series.shown(window)
        return dict(sorted(rows.items()))

    def median_of(self, name: str) -> float | None:
        """Return the median of up to 1000 samples; None if there are none."""
        series = self.series.get(name)
        return median(value for _, value in series.samples) if series else None

    def mean_of_recent(self, name: str) -> float:
        """Return the mean of the last 20 iterations."""
        return fmean(self.series[name].recent())
