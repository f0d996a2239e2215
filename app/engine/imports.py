"""Importing large libraries quickly."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """What is imported inside stays: nobody looks for garbage among it, now or later.

    Of the time that torch takes to import, a sixth goes into such searches.
    """
    if not gc.isenabled():  # inside of another one, most likely
        yield
        return
    gc.collect()  # the last chance for what is garbage already
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
