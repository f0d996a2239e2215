"""Computes several batches at once in threads, each with its share of the processors.

Threads that share one operator leave processors idle while they wait for each other, and between
operators only one is busy. Separate batches for each thread use the processors better.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

MAX_STREAMS = 4
"""Each stream needs memory for its feature maps, and only one at a time runs Python code."""

Answer = Callable[[], Sequence[T]]
"""Waits for the results of a batch."""

Submit = Callable[[list[S]], Answer[T]]
"""Starts the computation of a batch."""


@contextmanager
def side_by_side(
    run: Callable[[list[S]], Sequence[T]],
    streams: int,
    *,
    begin: Callable[[], None] | None = None,
    failed: Callable[[T], bool] | None = None,
) -> Iterator[Submit[S, T]]:
    """Run `run` in `streams` threads; with one stream, in the thread that reads the results.

    begin   called at the start of each thread
    failed  whether a result lacked memory, so that its batch is run again with no other
    """
    if streams == 1:
        yield lambda batch: lambda: run(batch)
        return
    under_way: set[Future[Sequence[T]]] = set()
    pool = ThreadPoolExecutor(streams, "stream", begin)

    def submit(batch: list[S]) -> Answer[T]:
        future = pool.submit(run, batch)
        under_way.add(future)
        future.add_done_callback(under_way.discard)
        return lambda: answer(future, batch)

    def answer(future: Future[Sequence[T]], batch: list[S]) -> Sequence[T]:
        found = future.result()
        if failed is None or not any(map(failed, found)):
            return found
        wait(list(under_way))
        return run(batch)

    try:
        yield submit
    finally:
        # Running batches end by themselves; a task that must stop does not wait for them.
        pool.shutdown(wait=False, cancel_futures=True)
