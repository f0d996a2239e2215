"""What says something of each candidate image, on one device or on several at once.

On several, each has a process with a model of its own, walks through the index itself and takes
every n-th group of images. What it finds comes back through a pipe, so it runs ahead of the others
by no more than the pipe holds, and results are in the order of the index.
"""

import logging
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from app.engine.errors import ImageError
from app.tasks.failures import told
from common.child import Child
from executor.dataset_reader import Asset, CandidateIndex
from executor.errors import ExecutorError, OutOfMemoryError
from executor.logs import setup_logging

logger = logging.getLogger(__name__)

T = TypeVar("T")
Found = TypeVar("Found", covariant=True)

Find = Callable[[Iterable[Path]], Iterator[tuple[Path, T | ImageError]]]
"""Says something of each file, or why it cannot, in order and as a stream."""


class Finder(Protocol[Found]):
    """Says something of each candidate.

    class_names  of the model; empty where there is none
    group_size   images that are under way together: so many are recorded as finished at once
    """

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def group_size(self) -> int: ...

    def look_at(self, work: "Work") -> Iterator[Found | ImageError]:
        """What each candidate of `work` holds, in order and as a stream."""
        ...


@dataclass(frozen=True)
class Work:
    """Candidates to look at: first `again`, ranges of positions, then all from `start` on."""

    candidates: CandidateIndex
    start: int = 0
    again: Sequence[range] = ()

    def __len__(self) -> int:
        return sum(map(len, self.again)) + len(self.candidates) - self.start

    def __iter__(self) -> Iterator[Asset]:
        yield from self.candidates.pick(chain.from_iterable(self.again))
        yield from self.candidates.since(self.start)

    def groups(self, size: int) -> Iterator[range]:
        """Positions of the candidates that belong together: those again, then `size` at a time."""
        yield from self.again
        for position in range(self.start, len(self.candidates), size):
            yield range(position, min(position + size, len(self.candidates)))


@dataclass(frozen=True)
class DeviceFinder(Generic[T]):
    """A finder of one device, in this process."""

    find: Find[T]
    group_size: int
    class_names: Sequence[str] = ()

    def look_at(self, work: Work) -> Iterator[T | ImageError]:
        """See `Finder`."""
        return self.share(work, number=0, count=1)

    def share(self, work: Work, *, number: int, count: int) -> Iterator[T | ImageError]:
        """Of the groups of one among `count` processes only."""
        paths = (
            asset.image
            for position, asset in enumerate(work)
            if _owner(position, self.group_size, count) == number
        )
        return (found for _, found in self.find(paths))


Open = Callable[[str], DeviceFinder[T]]
"""Makes the finder of a device; it must bear pickling, as what is found must."""


@contextmanager
def open_finder(open_on: Open[T], devices: Sequence[str]) -> Iterator[Finder[T]]:
    """A finder on one device or, by processes that end with the context, on several."""
    if len(devices) == 1:
        yield open_on(devices[0])
        return
    processes: list[_DeviceProcess] = []
    try:
        for number, device in enumerate(devices):
            processes.append(_DeviceProcess(open_on, device, number, len(devices)))
        about = [process.receive() for process in processes]
        yield _SeveralDevices(processes, **about[0])
    finally:
        for process in processes:
            process.end()


@dataclass(frozen=True)
class _SeveralDevices:
    processes: Sequence["_DeviceProcess"]
    group_size: int
    class_names: Sequence[str]

    def look_at(self, work: Work) -> Iterator[Any]:
        for process in self.processes:
            process.send(work)
        for position in range(len(work)):
            owner = _owner(position, self.group_size, len(self.processes))
            yield self.processes[owner].receive()


def _owner(position: int, group_size: int, count: int) -> int:
    """Which of `count` processes has the image at a position."""
    return position // group_size % count


class _DeviceProcess:
    """The process of one device, as the task sees it."""

    def __init__(self, open_on: Open[Any], device: str, number: int, count: int) -> None:
        self._device = device
        self._child = Child(_serve, open_on, device, number, count, name=device)

    def send(self, message: Any) -> None:
        with suppress(BrokenPipeError):  # why it has ended is told where its answer is awaited
            self._child.connection.send(message)

    def receive(self) -> Any:
        """What it found next; raises what ended it."""
        try:
            message = self._child.connection.recv()
        except (EOFError, ConnectionResetError):  # the latter with a message that it left unread
            self._child.process.join()
            raise self._death() from None
        if isinstance(message, ExecutorError):
            raise message
        return message

    def end(self) -> None:
        self._child.end()

    def _death(self) -> ExecutorError:
        status = self._child.process.exitcode
        if status == -signal.SIGKILL:
            return OutOfMemoryError(
                f"the process of {self._device} was killed, most likely because memory ran out; "
                "use a smaller batch_size or fewer num_workers, or give the container more memory"
            )
        return ExecutorError(
            f"the process of {self._device} ended with status {status}; start again to resume, "
            "and report it with the log above if it happens again"
        )


def _serve(
    connection: Connection, open_on: Open[Any], device: str, number: int, count: int
) -> None:
    setup_logging()
    try:
        finder = open_on(device)
        connection.send({"group_size": finder.group_size, "class_names": finder.class_names})
        for found in finder.share(connection.recv(), number=number, count=count):
            connection.send(found)
    except (BrokenPipeError, EOFError):
        return  # the task has ended
    except Exception as error:  # whatever ends it must be reported by the task
        connection.send(told(error))
