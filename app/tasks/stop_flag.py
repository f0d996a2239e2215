"""A flag for stop signals, which a task checks where it can end cleanly."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether SIGTERM or SIGINT came.

    From its first call on, these signals only set the flag. Before it, while models are built and
    the first batch is computed, they end the process at once: there is nothing to save yet.
    """
    asked = False
    before: dict[signal.Signals, Any] = {}

    def remember(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    def should_stop() -> bool:
        if not before:
            for number in (signal.SIGTERM, signal.SIGINT):
                before[number] = signal.signal(number, remember)
        return asked

    try:
        yield should_stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
