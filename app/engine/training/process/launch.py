"""Runs the same work in several processes, one for each device.

Rank 0 is the calling process; the others are started here and end with it. There are two process
groups: one for gradients (NCCL on GPUs, gloo on CPUs) and one for everything else (gloo).
"""

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from app.engine.errors import EngineError, RankError, is_out_of_memory
from app.engine.training.process.ranks import Ranks
from common.child import Child
from common.text import first_line

logger = logging.getLogger(__name__)

T = TypeVar("T")
A = TypeVar("A")

_HOST = "127.0.0.1"


def launch(
    work: Callable[[Ranks, A], T],
    argument: A,
    *,
    others_argument: A,
    devices: Sequence[torch.device],
    timeout_s: float = 300.0,
) -> T:
    """Run `work` once for each device, together, and return what the first process returned.

    work             a module-level function, since the other processes import it
    argument         the argument of `work` in this process
    others_argument  the argument of `work` in the other processes, which get a pickled copy
    timeout_s        the run ends if a process makes the others wait longer
    """
    if len(devices) <= 1:
        return work(Ranks(0, 1, devices[0]), argument)
    store = TCPStore(
        _HOST, 0, len(devices), True, timedelta(seconds=timeout_s), wait_for_workers=False
    )
    others = [
        _Other(rank, (work, others_argument, rank, list(devices), store.port, timeout_s))
        for rank in range(1, len(devices))
    ]
    try:
        ranks = _join(0, devices, store, timeout_s)
        return work(ranks, argument)
    except Exception as error:
        _blame(others, error)
        raise
    finally:
        for other in others:
            other.end()
        if dist.is_initialized():
            dist.destroy_process_group()


def _blame(others: Sequence["_Other"], error: Exception) -> None:
    """Raise the failure of another process if it caused `error` in this one."""
    if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
        return
    for other in others:
        failure = other.failure()
        if failure is None:
            continue
        logger.error("Process %d of the training failed:\n%s", other.rank, failure.trace)
        if isinstance(failure.error, EngineError | torch.OutOfMemoryError):
            raise failure.error from error
        raise RankError(f"training process {other.rank} failed: {failure.reason}") from error
    raise RankError(
        f"a training process stopped answering ({first_line(error)}); "
        "look for a device that hangs or is shared, then start again to resume"
    ) from error


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    trace: str = ""
    error: Exception | None = None


class _Other:
    """One of the processes that were started."""

    def __init__(self, rank: int, arguments: tuple[Any, ...]) -> None:
        self.rank = rank
        self._child = Child(_serve, *arguments, name=f"rank {rank}")

    def failure(self) -> _Failure | None:
        """Return why the process ended; None if it still runs or ended without an error."""
        try:
            if self._child.connection.poll(1.0):
                failure: _Failure = self._child.connection.recv()
                return failure
        except EOFError:
            self._child.process.join(timeout=5)
        code = self._child.process.exitcode
        if code is None or code == 0:
            return None
        return _Failure(f"killed by signal {-code}" if code < 0 else f"exit code {code}")

    def end(self) -> None:
        """Wait up to 2 s for the process to end by itself, then stop it."""
        self._child.end(patience_s=2)


def _serve(
    outbox: Connection,
    work: Callable[[Ranks, Any], Any],
    argument: Any,
    rank: int,
    devices: Sequence[torch.device],
    port: int,
    timeout_s: float,
) -> None:
    """Main function of a started process: join the group, do the work, send a failure back."""
    logging.basicConfig(level=logging.ERROR)
    try:
        store = TCPStore(_HOST, port, len(devices), False, timedelta(seconds=timeout_s))
        work(_join(rank, devices, store, timeout_s), argument)
        dist.destroy_process_group()
    except Exception as error:
        outbox.send(_Failure(first_line(error), traceback.format_exc(), _portable(error)))
        raise SystemExit(1) from error


def _portable(error: Exception) -> Exception | None:
    if is_out_of_memory(error):
        return torch.OutOfMemoryError(str(error))
    return error if isinstance(error, EngineError) else None


def _join(rank: int, devices: Sequence[torch.device], store: TCPStore, timeout_s: float) -> Ranks:
    device, world_size = devices[rank], len(devices)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    timeout = timedelta(seconds=timeout_s)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        rank=rank,
        world_size=world_size,
        timeout=timeout,
    )
    control = dist.new_group(backend="gloo", timeout=timeout)
    assert isinstance(control, dist.ProcessGroup)
    return Ranks(rank, world_size, device, control)
