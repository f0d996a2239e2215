"""Importing large libraries quickly."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Exclude the objects of imports inside the block from garbage collection, now and later.

    A sixth of the time to import torch is spent on searching for garbage.
    """
    if not gc.isenabled():  # most likely this block is nested in another one
        yield
        return
    gc.collect()  # after `freeze` the garbage that exists now would never be collected
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
