"""How a run is found to have diverged: its losses, of the beginning and of the latest iterations.

Losses of detectors are of the order of 1: means over images of cross entropies and distances.
"""

from collections import deque
from statistics import median
from typing import Any

MAX_GROWTH = 100.0
"""With a loss so many times that of the first iterations a model has learnt nothing."""

SENSELESS = 1e4
"""Nor has it with such a loss, whatever the first ones were."""

FEWEST = 10
"""Fewer losses say nothing as long as there will be more."""

_FIRST = 20
_USUAL = 1.0
"""A loss to begin with that says nothing against a model."""

_FLOOR, _FLOOR_OF_FEW = 0.01, 0.1
"""Smaller losses of the beginning count as this one; of a few, many may be of images without
objects, which cost next to nothing."""


class DivergingError(Exception):
    """The loss or the weights are not finite, or enormous: the run must go back, or end."""


class LossHistory:
    """Total losses (averaged over processes) of the first iterations and of the latest ones.

    Saved with the checkpoints: a run that is taken up still knows how it began.
    """

    def __init__(self, max_iter: int) -> None:
        self._first: list[float] = []
        self._latest: deque[float] = deque(maxlen=max(_FIRST, max_iter // 10))
        self._count = 0

    def add(self, loss: float) -> None:
        """The next iteration's."""
        if len(self._first) < _FIRST:
            self._first.append(loss)
        self._latest.append(loss)
        self._count += 1

    def complaint(self, *, at_end: bool) -> str:
        """Why the loss is beyond all sense; empty as long as it is not.

        at_end  no iteration will follow: look at the last tenth. Else at the last 20 iterations, or
                the second half of fewer, once there are 10: a moment's rise may pass.
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
        """The median of the first 20, or of the first half of fewer than 40.

        A run may be lost from its second iteration on. Its first loss comes before any step, so
        that a much larger median says nothing of the beginning.
        """
        usual = min(median(self._first[: self._lasting]), max(self._first[0], _USUAL))
        return max(usual, _FLOOR if self._count >= 2 * _FIRST else _FLOOR_OF_FEW)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"first": self._first[:], "latest": list(self._latest), "count": self._count}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Go on where `state` was taken; None: nothing is known (first release)."""
        known = state or {"first": [], "latest": [], "count": 0}
        self._first = list(known["first"])
        self._latest = deque(known["latest"], maxlen=self._latest.maxlen)
        self._count = known["count"]
