"""A fake GPU: the device of tensors is cuda:0, a CPU computes, and devices are kept apart.

Inside `fake_gpu()` code for CUDA runs to the last line with a CPU's numbers, and what CUDA
refuses is refused: tensors of two devices in one operation, operators and number formats that
have no CUDA kernel. Kernel launches and waits of the host for the device are counted.

A launch is an operation of torch that computes or copies on the device; for a few of them (NMS,
sorting) CUDA launches several kernels. Gradients are computed by a walk over the graph in Python,
because torch's own engine needs a real device.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from verification.launches.backward import backward
from verification.launches.rules import check_kernel, is_launch, waits

DEVICE = torch.device("cuda", 0)


class FakeGpu:
    """Launches and waits so far.

    launches  by operator
    waits     by operator and line of the program: the host waited until all was computed
    """

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self._pinned: dict[int, torch.UntypedStorage] = {}

    def forget(self) -> None:
        """Count from zero."""
        self.launches.clear()
        self.waits.clear()

    def count_wait(self, what: str) -> None:
        """Count that the host waits for everything launched."""
        self.waits[f"{what} at {_line_of_program()}"] += 1

    def pin(self, tensor: Tensor) -> Tensor:
        """A copy in page-locked memory, which the device reads by itself."""
        copy = tensor.clone()
        self._pinned[copy.untyped_storage().data_ptr()] = copy.untyped_storage()
        return copy

    def is_pinned(self, tensor: Tensor) -> bool:
        """Whether a CPU's tensor is in page-locked memory."""
        return tensor.untyped_storage().data_ptr() in self._pinned


class _Current:
    gpu: FakeGpu | None = None


class GpuTensor(Tensor):
    """A tensor of the device; its numbers are in `numbers`, on the CPU."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "GpuTensor":
        """Make a tensor with the sizes and strides of `numbers`."""
        made: GpuTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=DEVICE,
        )
        made.numbers = numbers
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute on the CPU."""
        return _compute(func, args, kwargs or {})

    def tolist(self) -> Any:
        """The numbers as a list, as for any device."""
        return self.detach().cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Raise, as on any GPU."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the numbers as a tensor of the CPU."""
        return self.detach().cpu().__reduce_ex__(protocol)  # type: ignore[no-untyped-call]


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Handles operators without a tensor argument too: `torch.zeros(3, device="cuda")`."""

    # With this key, torch neither looks for a driver nor makes tensors from lists in one step.
    _mode_key = torch._C._TorchDispatchModeKey.FAKE

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    gpu = _Current.gpu
    assert gpu is not None, "a tensor of the fake GPU outlived it"
    if _is_composite(func):  # inference mode has not taken it apart
        with _Mode():  # type: ignore[no-untyped-call]
            return func._op_dk(_COMPOSITE, *args, **kwargs)
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    on_gpu = [t for t in tensors if isinstance(t, GpuTensor)]
    target = kwargs.get("device")
    to_gpu = bool(on_gpu) if target is None else torch.device(target).type == "cuda"
    if on_gpu or to_gpu:
        check_kernel(func, args, kwargs)
        if is_launch(func):
            gpu.launches[str(func)] += 1
        for what in waits(func, args, kwargs, is_pinned=gpu.is_pinned):
            gpu.count_wait(what)
    there = dict(kwargs)
    if to_gpu and target is not None:
        there["device"] = torch.device("cpu")
    pinned = there.pop("pin_memory", None)
    out = func(*tree_map(_numbers, args), **tree_map(_numbers, there))
    if pinned:
        return gpu.pin(out)
    if not to_gpu:
        return out
    known = {id(t.numbers): t for t in on_gpu}  # an operator in place gives back the very tensor
    # A view is an inference tensor only if its base is one.
    inference = torch.is_inference_mode_enabled() and not (
        func.is_view and not on_gpu[0].is_inference()
    )
    with torch.inference_mode(inference):
        return tree_map_only(
            Tensor, lambda t: known[id(t)] if id(t) in known else GpuTensor(t), out
        )


_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


@cache
def _is_composite(func: Any) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE)


def _numbers(value: Any) -> Any:
    return value.numbers if isinstance(value, GpuTensor) else value


def _line_of_program() -> str:
    frame = sys._getframe(2)
    while frame.f_back is not None and "/app/" not in frame.f_code.co_filename:
        frame = frame.f_back
    name = frame.f_code.co_filename.rpartition("/app/")[2]
    return f"{name}:{frame.f_lineno}"


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Inside, there is one GPU, cuda:0, with the properties of an H200."""
    assert _Current.gpu is None
    gpu = FakeGpu()
    torch._C._ensureCUDADeviceGuardSet()  # type: ignore[attr-defined]
    lifted = torch._C._only_lift_cpu_tensors()  # type: ignore[attr-defined]
    with ExitStack() as stack:
        for target, name, fake in _stand_ins(gpu):
            stack.enter_context(mock.patch.object(target, name, fake))
        stack.callback(torch._C._set_only_lift_cpu_tensors, lifted)  # type: ignore[attr-defined]
        torch._C._set_only_lift_cpu_tensors(True)  # type: ignore[attr-defined]
        stack.callback(setattr, _Current, "gpu", None)
        _Current.gpu = gpu
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(_Mode())  # type: ignore[no-untyped-call]
        yield gpu


def _stand_ins(gpu: FakeGpu) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    answers = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "is_bf16_supported": True,
        "is_current_stream_capturing": False,
        "get_device_capability": (9, 0),
        "get_device_name": "Fake GPU",
        "get_arch_list": ["sm_90"],
        "max_memory_allocated": 0,
        "get_rng_state_all": [],
        "set_rng_state_all": None,
        "manual_seed_all": None,
        "set_device": None,
    }
    for name, answer in answers.items():
        yield torch.cuda, name, lambda *_, answer=answer, **__: answer
    for name in ("synchronize", "empty_cache"):
        yield torch.cuda, name, lambda *_, name=name: gpu.count_wait(name)
    yield Tensor, "pin_memory", lambda tensor, *_: gpu.pin(tensor)
    yield Tensor, "is_pinned", lambda tensor, *_: gpu.is_pinned(tensor)
    yield torch.autograd, "backward", backward
    # A parameter of the CPU cannot move to the GPU in place, so modules get new ones.
    yield torch.__future__, "get_overwrite_module_params_on_conversion", lambda: True
