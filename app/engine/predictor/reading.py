"""Reads files into network inputs in worker processes, in order, a few at a time."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from app.engine.data.loading.worker_pool import WorkerDiedError, WorkerKilledError, WorkerPool
from app.engine.errors import DoesNotFitError, ImageError, is_out_of_memory
from app.engine.predictor.deep_tally import DeepTally
from common.text import first_line

logger = logging.getLogger(__name__)

S = TypeVar("S")

Read = Callable[[Path], S]
"""Reads one file; raises ImageError for a bad one."""

PREFETCH = 2
"""Images for each worker: one that is ready and one that it is reading."""


def read_files(
    paths: Iterable[Path], read: Read[S], *, num_workers: int
) -> Iterator[tuple[Path, S | ImageError]]:
    """Yield each path with its sample, or the reason why there is none, in the order of `paths`.

    At most `PREFETCH` images for each worker are read ahead of the consumer. An image that crashes
    its worker twice (a broken codec, too little memory) gets an error, and the others are read.
    Findings in images with more than 8 bits (`deep`) are logged.
    """
    tally = DeepTally()
    with closing(_read_files(paths, read, num_workers)) as answers:
        try:
            for path, answer in answers:
                tally.add(path, getattr(answer, "deep", None))
                yield path, answer
        finally:
            tally.tell()


def _read_files(
    paths: Iterable[Path], read: Read[S], num_workers: int
) -> Generator[tuple[Path, S | ImageError], None, None]:
    source = iter(paths)
    waiting: deque[Path] = deque()
    suspect: Path | None = None
    was_killed = False
    while num_workers:
        pool = WorkerPool(partial(_attempt, read), num_workers)
        num_workers = len(pool)
        try:
            for answer in _answers(pool, source, waiting):
                yield waiting.popleft(), answer
            if num_workers:
                return
        except WorkerDiedError as error:
            logger.warning("%s while it read %s", error, waiting[0])
            was_killed = isinstance(error, WorkerKilledError)
        finally:
            pool.close()
        if waiting and waiting[0] == suspect:
            yield waiting.popleft(), _deadly(suspect, was_killed)
        suspect = waiting[0] if waiting else None
    yield from ((path, _attempt(read, path)) for path in chain(waiting, source))


def _answers(
    pool: WorkerPool[Path, S | ImageError], source: Iterator[Path], waiting: deque[Path]
) -> Iterator[S | ImageError]:
    """Yield the answer for `waiting[0]` repeatedly; the consumer removes it from the queue.

    `waiting`, which may hold paths of a pool that died, is refilled from `source`.
    """
    sent = received = 0
    while True:
        in_hand = sent - received
        if in_hand < PREFETCH * len(pool):
            if in_hand == len(waiting):
                waiting.extend(islice(source, 1))
            if in_hand < len(waiting):
                # A dead worker, and the image that caused it, are found when reading its answers.
                with suppress(WorkerDiedError):
                    pool.submit(sent % len(pool), waiting[in_hand])
                sent += 1
                continue
        if not in_hand:
            return
        yield pool.receive(received % len(pool))
        received += 1


def _deadly(path: Path, was_killed: bool) -> ImageError:
    if was_killed:
        return DoesNotFitError(
            f"{path}: the process that decoded it was killed twice, most likely because memory ran"
            " out; use fewer data workers (num_workers) or give the container more memory"
        )
    return ImageError(f"{path}: decoding it crashed the process twice; replace the file")


def _attempt(read: Read[S], path: Path) -> S | ImageError:
    try:
        return read(path)
    except ImageError as error:
        return error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return DoesNotFitError(
            f"{path}: memory is too small to read the image ({first_line(error)}); use fewer data"
            " workers (num_workers) or give the container more memory"
        )
