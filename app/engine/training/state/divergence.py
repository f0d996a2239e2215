"""Detects that a run has diverged by comparing its latest losses with those of the beginning.

Losses of detectors are of the order of 1: means over images of cross entropies and distances.
"""

from collections import deque
from statistics import median
from typing import Any

MAX_GROWTH = 100.0
"""A run whose loss is larger than that of the first iterations by this factor has diverged."""

SENSELESS = 1e4
"""A run with a larger loss has diverged, whatever its first losses were."""

FEWEST = 10
"""Before the end of the run, fewer losses are not judged."""

_FIRST = 20
_USUAL = 1.0
"""A normal loss at the beginning of a run."""

_FLOOR, _FLOOR_OF_FEW = 0.01, 0.1
"""Smaller losses of the beginning count as this value. It is larger for few losses, because many
of them may come from images without objects, whose loss is almost 0."""


class DivergingError(Exception):
    """The loss or the weights are infinite, NaN or far too large: the run must go back or end."""


class LossHistory:
    """Total losses (averaged over processes) of the first iterations and of the latest ones.

    Checkpoints hold them, so that a resumed run can still compare with its beginning.
    """

    def __init__(self, max_iter: int) -> None:
        self._first: list[float] = []
        self._latest: deque[float] = deque(maxlen=max(_FIRST, max_iter // 10))
        self._count = 0

    def add(self, loss: float) -> None:
        """Add the loss of the next iteration."""
        if len(self._first) < _FIRST:
            self._first.append(loss)
        self._latest.append(loss)
        self._count += 1

    def complaint(self, *, at_end: bool) -> str:
        """Return why the run counts as diverged; an empty text if it does not.

        at_end  no iteration will follow: check the last tenth of the losses. Else check the last 20
                (the second half of fewer than 40) once there are 10, as a short rise may pass.
        """
        if at_end:
            return self._complaint(max(1, self._count // 10))
        return self._complaint(self._lasting) if self._count >= FEWEST else ""

    @property
    def _lasting(self) -> int:
        return max(1, min(_FIRST, self._count // 2))

    def _complaint(self, window: int) -> str:
        if self._count < 2:
            return ""
        now, before = median(list(self._latest)[-window:]), self._beginning()
        if now <= min(MAX_GROWTH * before, SENSELESS):
            return ""
        when = f"last {window} iterations (median)" if window > 1 else "last iteration"
        return (
            f"The loss, {now:.3g} in the {when}, is {now / before:.2g} times that of the "
            f"beginning, {before:.3g}"
        )

    def _beginning(self) -> float:
        """Return the median of the first 20 losses, or of the first half of fewer than 40.

        A run may diverge in its second iteration. The first loss is computed before any step, so
        a median that is much larger is not a loss of the beginning and the first loss counts.
        """
        usual = min(median(self._first[: self._lasting]), max(self._first[0], _USUAL))
        return max(usual, _FLOOR if self._count >= 2 * _FIRST else _FLOOR_OF_FEW)

    def state_dict(self) -> dict[str, Any]:
        """Return the losses for a checkpoint."""
        return {"first": self._first[:], "latest": list(self._latest), "count": self._count}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Restore `state`; None: the checkpoint holds no losses (first release)."""
        known = state or {"first": [], "latest": [], "count": 0}
        self._first = list(known["first"])
        self._latest = deque(known["latest"], maxlen=self._latest.maxlen)
        self._count = known["count"]
