"""Limit the memory of this process, so that the system really refuses to give more."""

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MIB = 2**20


@contextmanager
def little_memory(mib: float) -> Iterator[None]:
    """Inside, this process can take only so much more address space, which large blocks need."""
    gc.collect()
    before = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + int(mib * _MIB), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
