"""The rank of a process among those that train together, and the data that they exchange."""

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

# Each process keeps the norm statistics of its own images; torch renamed the option in 2.14.
_PARAMETERS = inspect.signature(DistributedDataParallel).parameters
_BUFFER_OPTION = (
    "forward_sync_buffers" if "forward_sync_buffers" in _PARAMETERS else "broadcast_buffers"
)
_OWN_BUFFERS: dict[str, Any] = {_BUFFER_OPTION: False}


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together.

    device   the device of this process's model
    control  process group for everything but gradients; None with a single process
    """

    rank: int
    world_size: int
    device: torch.device
    control: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def wrap(self, model: nn.Module, *, compress: bool = False) -> nn.Module:
        """Wrap `model` so that the backward pass averages gradients over all processes.

        compress  send the gradients as float16
        """
        if self.control is None:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        network = DistributedDataParallel(model, device_ids=devices, **_OWN_BUFFERS)
        if compress:
            network.register_comm_hook(None, fp16_compress_hook)
        return network

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Return for each flag whether it is true in any process."""
        if self.control is None:
            return list(flags)
        votes = torch.tensor([int(flag) for flag in flags])
        dist.all_reduce(votes, op=dist.ReduceOp.MAX, group=self.control)
        return [bool(vote) for vote in votes.tolist()]

    def mean(self, values: Sequence[float]) -> list[float]:
        """Return the average of each number over the processes."""
        if self.control is None:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total, group=self.control)
        return [float(value) for value in (total / self.world_size).tolist()]

    def gather(self, value: T) -> list[T] | None:
        """Return the values of all processes, by rank, in the first process; None in the others."""
        if self.control is None:
            return [value]
        values: list[Any] | None = [None] * self.world_size if self.is_first else None
        dist.gather_object(value, values, dst=0, group=self.control)
        return values

    def broadcast(self, value: T) -> T:
        """Return the value of the first process."""
        if self.control is None:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        shared: T = box[0]
        return shared

    def share_buffers(self, model: nn.Module) -> None:
        """Copy the first process's norm statistics to all, so that all evaluate the same model."""
        if self.control is None:
            return
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def delay_gradients(network: nn.Module, delayed: bool) -> Any:
    """Return a context in which backward passes exchange no gradients, if `delayed`."""
    if delayed and isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()
