"""Something done every few seconds while a block takes its time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
