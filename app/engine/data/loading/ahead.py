"""A thread that keeps a few items ready, so that fetching overlaps with training."""

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.2


def ahead(items: Iterator[T], depth: int = 2) -> Generator[T]:
    """Yield the same items; a thread makes up to `depth` of them in advance."""
    ready: Queue[tuple[bool, T | BaseException | None]] = Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[bool, T | BaseException | None]) -> None:
        while not stop.is_set():
            with suppress(Full):
                ready.put(entry, timeout=_POLL_S)
                return

    def fill() -> None:
        try:
            for item in items:
                put((True, item))
                if stop.is_set():
                    break
            put((False, None))
        except BaseException as error:  # raised again in the consuming thread
            put((False, error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=fill, name="data", daemon=True)
    thread.start()
    try:
        yield from _drain(ready, thread)
    finally:
        stop.set()
        thread.join()


def _drain(
    ready: "Queue[tuple[bool, T | BaseException | None]]", thread: threading.Thread
) -> Iterator[T]:
    while True:
        try:
            more, value = ready.get(timeout=_POLL_S)
        except Empty:
            assert thread.is_alive()
            continue
        if isinstance(value, BaseException):
            raise value
        if not more:
            return
        assert value is not None
        yield value
