"""The processing of candidate images on one device or on several at once.

Each of several devices has a process with its own model, which reads the index and takes every n-th
group of images. Findings return through a pipe, so a process is ahead of the others by at most the
size of the pipe, and results are in the order of the candidates.
"""

import logging
import signal
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from app.engine.errors import ImageError
from app.tasks.failures import told
from common.child import Child
from executor.candidates import Candidates
from executor.dataset_reader import Asset
from executor.errors import ExecutorError, OutOfMemoryError
from executor.logs import setup_logging

logger = logging.getLogger(__name__)

T = TypeVar("T")
Found = TypeVar("Found", covariant=True)


@dataclass(frozen=True)
class Work:
    """Groups of candidates to process.

    group_size  candidates of each group; only the last of all candidates may be in a smaller one
    starts      position of the first candidate of each group
    """

    candidates: Candidates
    group_size: int
    starts: "array[int]"

    def __len__(self) -> int:
        return sum(map(len, self.groups()))

    def __iter__(self) -> Iterator[Asset]:
        return self.candidates.at(chain.from_iterable(self.groups()))

    def groups(self) -> Iterator[range]:
        """Yield the positions of each group."""
        for start in self.starts:
            yield range(start, min(start + self.group_size, len(self.candidates)))

    def share(self, number: int, count: int) -> "Work":
        """Return the groups of one of `count` processes: every `count`-th group."""
        return Work(self.candidates, self.group_size, self.starts[number::count])


class Finder(Protocol[Found]):
    """Process candidates, on any number of devices.

    class_names  class names of the model; empty without a model
    group_size   number of candidates that are processed and recorded together
    """

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def group_size(self) -> int: ...

    def look_at(self, work: Work) -> Iterator[Found | ImageError]:
        """Yield the finding of each candidate of `work`, in order."""
        ...


class DeviceFinder(ABC, Generic[T]):
    """A finder on one device, in the process that opened it; see `Finder`."""

    class_names: Sequence[str] = ()
    group_size: int

    @abstractmethod
    def find(self, paths: Iterable[Path]) -> Iterator[tuple[Path, T | ImageError]]:
        """Yield the finding of each file, or the error of reading it, in order."""

    def look_at(self, work: Work) -> Iterator[T | ImageError]:
        """See `Finder`."""
        return (found for _, found in self.find(asset.image for asset in work))


@dataclass(frozen=True)
class Device:
    """A device on which a finder computes.

    name         the engine's name, such as cuda:0
    num_workers  number of worker processes that read images for it
    num_images   number of candidates for all devices together
    """

    name: str
    num_workers: int
    num_images: int


Open = Callable[[Device], DeviceFinder[T]]
"""A function that opens the finder of a device; it and the findings must be picklable."""


@contextmanager
def open_finder(open_on: Open[T], devices: Sequence[Device]) -> Iterator[Finder[T]]:
    """Open a finder on one device, or on several by processes that end with the context."""
    if len(devices) == 1:
        yield open_on(devices[0])
        return
    processes: list[_DeviceProcess] = []
    try:
        for device in devices:
            processes.append(_DeviceProcess(open_on, device))
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
        for number, process in enumerate(self.processes):
            process.send(work.share(number, len(self.processes)))
        for process, group in zip(cycle(self.processes), work.groups(), strict=False):
            for _ in group:
                yield process.receive()


class _DeviceProcess:
    """The task's handle of the process of one device."""

    def __init__(self, open_on: Open[Any], device: Device) -> None:
        self._device = device.name
        self._child = Child(_serve, open_on, device, name=device.name)

    def send(self, message: Any) -> None:
        with suppress(BrokenPipeError):  # `receive` reports why the process has ended
            self._child.connection.send(message)

    def receive(self) -> Any:
        """Return the next finding; raise the error that ended the process."""
        try:
            message = self._child.connection.recv()
        except (EOFError, ConnectionResetError):  # Reset: it had an unread message
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


def _serve(connection: Connection, open_on: Open[Any], device: Device) -> None:
    setup_logging()
    try:
        finder = open_on(device)
        connection.send({"group_size": finder.group_size, "class_names": finder.class_names})
        for found in finder.look_at(connection.recv()):
            connection.send(found)
    except (BrokenPipeError, EOFError):
        return  # the task has ended
    except Exception as error:  # the task must report every error
        connection.send(told(error))
