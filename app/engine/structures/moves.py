"""Move tensors, or all tensors of a dataclass, to a device."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def move(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Move a tensor to a device; copies from the CPU to a GPU are asynchronous."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        # A copy from memory that is not pinned would wait for all earlier work of the GPU.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def map_tensors(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """Copy a dataclass with `change` applied to every tensor, also in nested dataclasses."""
    assert is_dataclass(value)
    assert not isinstance(value, type)
    changes: dict[str, Any] = {}
    for field in fields(value):
        content = getattr(value, field.name)
        if isinstance(content, Tensor):
            changes[field.name] = change(content)
        elif is_dataclass(content):
            changes[field.name] = map_tensors(content, change)
    return replace(value, **changes)


def move_all(value: T, device: torch.device | str) -> T:
    """`move` for every tensor of a dataclass."""
    return map_tensors(value, lambda tensor: move(tensor, device))
