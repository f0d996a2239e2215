"""Tensors brought to a device, and all tensors of a dataclass at once."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def move(tensor: Tensor, device: torch.device | str) -> Tensor:
    """`tensor` on a device; what goes to a GPU goes there while the program runs on."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        # From other memory the copy would wait for all that the GPU has to do before.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def map_tensors(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """A copy of a dataclass with every tensor changed, in dataclasses inside it, too."""
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
