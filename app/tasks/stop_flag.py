"""Being asked to stop: a flag that work looks at where it can end in good order."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT came; from the first question on, they end nothing by themselves.

    Before it, while models are built and the first batch is under way, they end the process at
    once: nothing has been done that could be saved.
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
