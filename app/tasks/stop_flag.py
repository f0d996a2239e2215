"""Being asked to stop: a flag that work looks at where it can end in good order."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT came; inside, they end nothing by themselves."""
    asked = False

    def remember(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, remember) for number in signals]
    try:
        yield lambda: asked
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
