"""Batches side by side in threads, each with its share of the processors.

Operators on the maps of a batch leave processors idle while they wait for each other, and all but
one between operators: whole batches for each thread keep them busy.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

MAX_STREAMS = 4
"""Each holds maps of its own in memory, and Python between operators runs in one at a time."""

Answer = Callable[[], Sequence[T]]
"""Waits for the results of a batch."""

Submit = Callable[[list[S]], Answer[T]]
"""Begins with a batch."""


@contextmanager
def side_by_side(
    run: Callable[[list[S]], Sequence[T]],
    streams: int,
    *,
    begin: Callable[[], None] | None = None,
    failed: Callable[[T], bool] | None = None,
) -> Iterator[Submit[S, T]]:
    """`run` in that many threads; with one, in the thread that asks for the results.

    begin   is called at the start of each thread
    failed  whether a result may be better with more memory: its batch is run again, alone
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
        # What is under way ends by itself: who is asked to stop has no time to wait for it.
        pool.shutdown(wait=False, cancel_futures=True)
