"""Make a folder in one step: it is written under another name and renamed when it is whole."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.files import sync_directory


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` at the end of the block, and vanishes if the block fails.

    What a killed run left is removed. An OSError names the place.
    """
    out = out.resolve()  # `.` has no name
    work = out.with_name(f".{out.name}.part")
    old = out.with_name(f".{out.name}.old")
    for remains in (work, old):
        shutil.rmtree(remains, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
        if out.exists():
            out.rename(old)
        work.rename(out)
        sync_directory(out.parent)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
