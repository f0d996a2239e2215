"""The random state of a process. Checkpoints save it, and everything that is not training
(evaluation, starting the loader) leaves it unchanged."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RngState = dict[str, Any]
"""Only tensors, numbers and lists, so that a checkpoint can hold it."""


def seed_all(seed: int) -> None:
    """Seed Python, numpy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state() -> RngState:
    """Return the states of all random generators of this process."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    assert name == "MT19937"
    words_of_numpy = np.asarray(keys, dtype=np.int64)
    return {
        "python": [version, list(words), gauss],
        "numpy": [torch.from_numpy(words_of_numpy), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if _uses_cuda() else [],
    }


def set_rng_state(state: RngState) -> None:
    """Restore `state`; states of GPUs are skipped if their number has changed."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all([device.cpu() for device in state["cuda"]])


@contextmanager
def rng_preserved() -> Iterator[None]:
    """Restore the random state at the end of the context."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


def _uses_cuda() -> bool:
    initialized: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return initialized
