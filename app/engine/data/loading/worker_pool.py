"""Forked workers that make batches; each has its own socket.

With its own socket, a worker's death shows at once as the end of the stream, and a dead worker
leaves no lock behind for which others wait. Tensors are sent through the socket, not through
/dev/shm, which is often too small in containers, and need no file descriptors.

Workers ignore SIGTERM and SIGINT: the parent decides when to stop. They end when the parent ends.
"""

import gc
import logging
import multiprocessing
import os
import pickle
import select
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Callable
from io import BytesIO
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from app.engine.errors import EngineError, OutOfMemoryError, is_out_of_memory
from common.processes import STOP_SIGNALS, follow
from common.text import first_line

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_STALL_S = 60  # a warning is logged if a worker does not answer; often the network disk is slow
_SMALL = 4096  # bytes; copying smaller buffers into the head is cheaper than two system calls


class WorkerDiedError(RuntimeError):
    """A worker process ended without being asked to (a crashed decoder)."""


class WorkerKilledError(WorkerDiedError):
    """The system killed a worker process, most likely because memory ran out."""


class WorkerPool(Generic[T, R]):
    """`count` processes that answer requests in the order in which each was given them."""

    def __init__(self, work: Callable[[T], R], count: int) -> None:
        self._processes: list[BaseProcess] = []
        self._sockets: list[socket.socket] = []
        self._finalize = Finalize(self, _kill, (self._processes, self._sockets), exitpriority=10)
        for _ in range(count):
            try:
                self._start(work)
            except OSError as error:
                # A limit on processes or memory is reached: go on with the workers started so far.
                logger.warning("only %d of %d data workers: %s", len(self), count, error)
                break

    def _start(self, work: Callable[[T], R]) -> None:
        ours, theirs = socket.socketpair()
        process = multiprocessing.get_context("fork").Process(
            target=_serve, args=(work, theirs, ours, os.getpid()), daemon=True
        )
        # Signals are blocked until the worker ignores them, so that none arrives in between.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            with warnings.catch_warnings():
                # Python warns of forks beside threads; workers use no lock that those may hold.
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self._processes.append(process)
        self._sockets.append(ours)

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [process.pid for process in self._processes if process.pid is not None]

    def submit(self, worker: int, request: T) -> None:
        """Queue a (small) request for one worker."""
        try:
            _send(self._sockets[worker], request)
        except OSError as error:
            raise self._obituary(worker) from error

    def receive(self, worker: int) -> R:
        """Return the worker's oldest unread answer; re-raises an exception of the worker."""
        try:
            self._wait(worker)
            succeeded, answer = _receive(self._sockets[worker])
        except (OSError, EOFError) as error:
            raise self._obituary(worker) from error
        if not succeeded:
            raise answer
        result: R = answer
        return result

    def _wait(self, worker: int) -> None:
        poll = select.poll()
        poll.register(self._sockets[worker], select.POLLIN)
        waited = 0
        while not poll.poll(_STALL_S * 1000):
            waited += _STALL_S
            logger.warning("waiting for data since %d s; is the storage slow or gone?", waited)

    def _obituary(self, worker: int) -> WorkerDiedError:
        process = self._processes[worker]
        process.join(timeout=1)
        code = process.exitcode
        reason = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        text = f"data worker {process.pid} died ({reason})"
        if code in (-signal.SIGKILL, -signal.SIGBUS):
            return WorkerKilledError(f"{text}, most likely because memory ran out")
        return WorkerDiedError(text)

    def close(self) -> None:
        """End all workers now."""
        self._finalize()


def _kill(processes: list[BaseProcess], sockets: list[socket.socket]) -> None:
    for end in sockets:
        end.close()
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _serve(
    work: Callable[[T], R], ours: socket.socket, parents: socket.socket, parent: int
) -> None:
    """Answer requests in a worker process until the parent closes the socket."""
    parents.close()
    follow(parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    # Collecting garbage among inherited objects would write to their memory pages and copy them.
    gc.freeze()
    while True:
        try:
            request = _receive(ours)
        except (OSError, EOFError):
            return
        answer: tuple[bool, Any]
        try:
            answer = (True, work(request))
        except EngineError as error:
            answer = (False, error)
        except Exception as error:  # a bug in `work`: the parent gets it with its traceback
            answer = (False, _portable(error))
        try:
            _send(ours, answer)
        except OSError:
            return


def _portable(error: Exception) -> Exception:
    if is_out_of_memory(error):
        return OutOfMemoryError(
            f"memory is too small for a data worker ({first_line(error)}); use fewer data workers"
            " (num_workers), lower INPUT.MIN_SIZE_TRAIN, or give the container more memory"
        )
    return RuntimeError(f"data worker failed:\n{''.join(traceback.format_exception(error))}")


class _Pickler(pickle.Pickler):
    """Pickles tensors as NumPy arrays, whose memory protocol 5 sends without copying."""

    def reducer_override(self, obj: Any) -> Any:
        # Importing torch takes seconds; without the import there are no tensors.
        if "torch" not in sys.modules or not isinstance(obj, sys.modules["torch"].Tensor):
            return NotImplemented
        strides = obj.stride()
        order = sorted(range(obj.dim()), key=lambda i: -strides[i])
        dense = obj.detach().permute(order).contiguous().numpy()
        return _tensor, (dense, [order.index(i) for i in range(obj.dim())])


def _tensor(dense: npt.NDArray[Any], order: list[int]) -> Any:
    import torch

    return torch.from_numpy(dense).permute(order)


def _send(end: socket.socket, value: Any) -> None:
    """Send the number and sizes of head and buffers, then head and buffers."""
    parts: list[memoryview] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _SMALL:
            return True
        parts.append(raw)
        return False

    head = BytesIO()
    _Pickler(head, protocol=5, buffer_callback=is_small).dump(value)
    parts.insert(0, head.getbuffer())
    end.sendall(struct.pack(f"<I{len(parts)}Q", len(parts), *(part.nbytes for part in parts)))
    for part in parts:
        end.sendall(part)


def _receive(end: socket.socket) -> Any:
    (count,) = struct.unpack("<I", _exactly(end, 4))
    sizes = struct.unpack(f"<{count}Q", _exactly(end, 8 * count))
    parts = [_exactly(end, size) for size in sizes]
    return pickle.loads(parts[0], buffers=parts[1:])


def _exactly(end: socket.socket, size: int) -> memoryview:
    """Read `size` bytes into writable memory; raises EOFError if the other side has closed."""
    data = np.empty(size, dtype=np.uint8).data
    received = 0
    while received < size:
        count = end.recv_into(data[received:], 0, socket.MSG_WAITALL)
        if not count:
            raise EOFError
        received += count
    return data
