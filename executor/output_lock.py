"""A lock on the output folder; it ends with its process, even after SIGKILL."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.storage import NOT_OFFERED
from executor.errors import OutputError
from executor.output_files import output_error

logger = logging.getLogger(__name__)

LOCK_NAME = ".executor.lock"

_NO_LOCKS = NOT_OFFERED | {errno.ENOLCK, errno.EBADF}  # EBADF: NFS, for a file opened to read
_HELD = (errno.EAGAIN, errno.EACCES)  # EACCES: SMB


@contextmanager
def output_lock(directory: Path, holder: str) -> Iterator[None]:
    """Hold `directory` for this process; OutputError naming the holder if another run has it.

    A file system without locks causes a warning, and the run goes on without a lock.
    """
    path = directory / LOCK_NAME
    descriptor = _opened(path)
    if descriptor is None:
        yield
        return
    try:
        _acquire(path, descriptor)
        with suppress(OSError):  # another user's file may be read-only, but it is locked
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
        with suppress(OSError):
            os.fchmod(descriptor, 0o666)
        yield
    finally:
        with suppress(OSError):  # object stores report errors only here
            os.close(descriptor)


def _opened(path: Path) -> int | None:
    """Open the lock file; None if the folder cannot hold one."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.EACCES and path.exists():
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if error.errno not in NOT_OFFERED:
            raise output_error(path, error) from error
        _warn(path, error)
        return None


def _acquire(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise OutputError(
                f"{path.parent}: locked by {_holder(descriptor)}; wait for that run, or give this"
                " one its own folder"
            ) from error
        if error.errno not in _NO_LOCKS:
            raise output_error(path, error) from error
        _warn(path, error)


def _holder(descriptor: int) -> str:
    with suppress(OSError):
        return os.pread(descriptor, 500, 0).decode(errors="replace") or "an unknown process"
    return "an unknown process"


def _warn(path: Path, error: OSError) -> None:
    logger.warning(
        "%s: this file system has no locks (%s); run only one task on it",
        path.parent,
        error.strerror,
    )
