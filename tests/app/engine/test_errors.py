"""Lack of memory is recognised by type, number or text of the error, in every library."""

import errno
import pickle

import numpy as np
import pytest
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime

from app.engine.errors import DoesNotFitError, ImageError, OutOfMemoryError, is_out_of_memory

ORT_ARENA = (
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. "
    "Name:'7_nchwc' Status Message: bfc_arena.cc:360 void* onnxruntime::BFCArena::"
    "AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for "
    "requested buffer of size 249448448\n"
)


def refused_by_numpy() -> MemoryError:
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, dtype=np.uint8)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(MemoryError(), id="Python, without a word"),
        pytest.param(refused_by_numpy(), id="numpy"),
        pytest.param(OSError(errno.ENOMEM, "Cannot allocate memory"), id="fork or mmap"),
        pytest.param(torch.OutOfMemoryError("CUDA out of memory. Tried ..."), id="CUDA"),
        pytest.param(RuntimeError("CUDA error: out of memory"), id="CUDA outside the allocator"),
        pytest.param(RuntimeError("CUDA driver error: out of memory"), id="CUDA's driver"),
        pytest.param(
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`"),
            id="cuBLAS",
        ),
        pytest.param(
            RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling cublasCreate(h)"),
            id="cuBLAS without room to begin",
        ),
        pytest.param(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), id="cuDNN"),
        pytest.param(
            RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
            id="cuDNN without room for any algorithm",
        ),
        pytest.param(
            RuntimeError("CUDA ran out of memory outside PyTorch's allocator. If this ..."),
            id="cuDNN's own programs",
        ),
        pytest.param(
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
                "allocate memory: you tried to allocate 67108864 bytes."
            ),
            id="torch's memory of the host",
        ),
        pytest.param(RuntimeError("could not create a primitive"), id="oneDNN's programs"),
        pytest.param(RuntimeError("could not execute a primitive"), id="oneDNN's scratch"),
        pytest.param(RuntimeError("could not create a memory object"), id="oneDNN's copies"),
        pytest.param(RuntimeError("std::bad_alloc"), id="C++ below torch"),
        pytest.param(
            RuntimeError("unable to mmap 128 bytes from file <x>: Cannot allocate memory (12)"),
            id="torch's files",
        ),
        pytest.param(
            RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: Success (0)"),
            id="shared memory",
        ),
        pytest.param(onnxruntime.Fail(ORT_ARENA), id="ONNX Runtime's arena"),
        pytest.param(
            onnxruntime.RuntimeException("[ONNXRuntimeError] : 6 : ... : std::bad_alloc"),
            id="ONNX Runtime without arena",
        ),
        pytest.param(
            onnxruntime.Fail("Available memory of 12 is smaller than requested bytes of 40"),
            id="ONNX Runtime's limit on a GPU",
        ),
        pytest.param(OutOfMemoryError("x"), id="the engine's own"),
        pytest.param(DoesNotFitError("x"), id="one image alone"),
    ],
)
def test_want_of_memory(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("The size of tensor a (3) must match tensor b (4)"), id="shapes"),
        pytest.param(
            RuntimeError("could not create a primitive descriptor for the matmul primitive. Run"),
            id="what oneDNN cannot do",
        ),
        pytest.param(
            RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"),
            id="an index beyond the end on a GPU",
        ),
        pytest.param(onnxruntime.InvalidArgument("Got invalid dimensions for input"), id="ONNX"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="a full disk"),
        pytest.param(ValueError("out of memory"), id="words of a stranger"),
        pytest.param(ImageError("x.png: (out of memory when reading image file)"), id="an image"),
    ],
)
def test_other_failures(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_an_image_that_does_not_fit_is_both_and_travels() -> None:
    error = pickle.loads(pickle.dumps(DoesNotFitError("x.png: too large")))
    assert isinstance(error, ImageError)
    assert isinstance(error, OutOfMemoryError)
    assert str(error) == "x.png: too large"
