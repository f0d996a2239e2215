"""Which operations CUDA refuses, which ones launch a kernel, and which ones make the host wait."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

_COPIES = ("_to_copy", "copy_")

_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")

_WAITING = (
    "_local_scalar_dense",
    "_unique",
    "_unique2",
    "bincount",
    "equal",
    "masked_select",
    "multinomial",
    "nms",
    "nonzero",
    "repeat_interleave",
    "unique_consecutive",
    "unique_dim",
)
"""Operators whose result, or its size, the host needs."""

_QUIET = (
    "_unsafe_view",
    "detach_",
    "empty",
    "empty_like",
    "empty_strided",
    "lift_fresh",
    "new_empty",
    "set_",
)
"""Operators that launch nothing, besides the views."""

_TAKES_NUMBERS = ("fill_", "full_like", "masked_fill", "masked_fill_")
"""Operators that accept a single number on the CPU, besides the pointwise ones."""

_PRODUCTS = ("addmm", "baddbmm", "bmm", "convolution", "mm")

_CPU_ONLY = ("mkldnn", "mkldnn_prepacked", "onednn", "quantized")
"""Namespaces of operators without a CUDA kernel."""


def check_kernel(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise as CUDA does where it has no kernel for these arguments, one of them on the GPU."""
    name, tensors = _name(func), _tensors((args, kwargs))
    if func.namespace in _CPU_ONLY:
        raise NotImplementedError(f"{func} has no kernel for CUDA")
    if name not in _COPIES:
        _check_devices(func, args, tensors)
    dtypes = {tensor.dtype for tensor in tensors}
    if func.namespace == "torchvision" and torch.bfloat16 in dtypes:
        raise RuntimeError(f"{func} is not implemented for 'BFloat16'")
    if name in _PRODUCTS and not all(dtype.is_floating_point for dtype in dtypes):
        raise RuntimeError(f"{func} is not implemented for whole numbers on CUDA")


def is_launch(func: Any) -> bool:
    """Whether the operation launches a kernel."""
    return not func.is_view and _name(func) not in _QUIET


def waits(
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    is_pinned: Callable[[Tensor], bool],
) -> Iterator[str]:
    """The reasons for which the host waits for everything launched so far."""
    name = _name(func)
    if name in _WAITING:
        yield name
    elif name in _COPIES:
        yield from _waits_of_copy(name, args, kwargs, is_pinned)
    elif name in _INDEXING:
        indices = [index for index in args[1] if index is not None]
        if any(not index.is_cuda for index in indices):
            yield f"{name} by indices from the CPU"
        if any(index.dtype == torch.bool for index in indices) and not _is_fill(args):
            yield f"{name} by a mask"


def _waits_of_copy(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], is_pinned: Callable[[Tensor], bool]
) -> Iterator[str]:
    if name == "copy_":
        target, source = args[0].device, args[1]
        asynchronous = len(args) > 2 and args[2]
    else:
        source = args[0]
        target = torch.device(kwargs.get("device") or source.device)
        asynchronous = kwargs.get("non_blocking", False)
    if source.device.type == target.type:
        return
    if target.type == "cpu":
        yield "copy from the GPU"
    elif not (asynchronous and is_pinned(source)):
        yield "copy to the GPU"


def _is_fill(args: tuple[Any, ...]) -> bool:
    """Whether this is `x[mask] = number`, which CUDA computes without a wait."""
    return len(args) > 2 and args[2].numel() == 1 and not args[2].is_cuda


def _check_devices(func: Any, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    strangers = [tensor for tensor in tensors if not tensor.is_cuda]
    name = _name(func)
    takes_numbers = torch.Tag.pointwise in func.tags or name in _TAKES_NUMBERS
    if name in _INDEXING and args[0].is_cuda:
        moved = {id(index) for index in args[1] if index is not None}
        strangers = [tensor for tensor in strangers if id(tensor) not in moved]
        takes_numbers = True
    if name.startswith("_foreach"):
        takes_numbers = True
    if any(tensor.dim() or not takes_numbers for tensor in strangers):
        raise RuntimeError(
            f"{func}: expected all tensors to be on the same device, but found at least two "
            "devices, cuda:0 and cpu!"
        )


def _name(func: Any) -> str:
    name: str = func._schema.name.partition("::")[2]
    return name


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
