"""How work tells how far it is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[float], None]
"""Told from time to time which fraction of the work is done, 0 to 1."""


def span(progress: Progress, start: float, stop: float) -> Progress:
    """The stretch of `progress` from `start` to `stop`, itself counted 0 to 1."""
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
