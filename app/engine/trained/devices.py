"""The devices of this machine, found without importing torch where there is no GPU."""

from pathlib import Path

GPU_FILES = ("nvidia[0-9]*", "nvidiactl", "dxg")
"""Device files of GPU drivers in /dev (dxg: under Windows)."""


def may_have_gpu() -> bool:
    """Whether a GPU's driver has left a device file; torch, imported in seconds, knows more."""
    return any(path for pattern in GPU_FILES for path in Path("/dev").glob(pattern))


def best_device() -> str:
    """Return the first GPU that torch can use, else the CPU."""
    if not may_have_gpu():
        return "cpu"
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def computes_bfloat16(device: str) -> bool:
    """Whether a GPU has hardware for bfloat16."""
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 0)
