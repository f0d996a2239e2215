"""Progress reports of running work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[float], None]
"""A function that is called from time to time with the finished fraction, 0 to 1."""


def span(progress: Progress, start: float, stop: float) -> Progress:
    """Return a progress whose range 0 to 1 is `start` to `stop` of `progress`."""
    return lambda fraction: progress(start + (stop - start) * fraction)


@contextmanager
def ticking(tick: Callable[[], None], period: float) -> Iterator[None]:
    """Call `tick` in a thread of its own every `period` seconds until the block ends."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(period):
            tick()

    clock = threading.Thread(target=run, name="ticking", daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()
