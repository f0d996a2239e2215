"""One run at a time on an output folder. The lock dies with its holder, even by SIGKILL."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from executor.atomic_file import output_error
from executor.errors import OutputError

logger = logging.getLogger(__name__)

LOCK_NAME = ".executor.lock"


@contextmanager
def output_lock(directory: Path, holder: str) -> Iterator[None]:
    """Hold `directory` for this process; OutputError naming the holder if another run has it."""
    path = directory / LOCK_NAME
    descriptor = _opened(path)
    try:
        _acquire(path, descriptor)
        with suppress(OSError):  # another user's file may be readable only; locked it is
            os.fchmod(descriptor, 0o666)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError as error:
        if not path.exists():
            raise output_error(path, error) from error
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise output_error(path, error) from error


def _acquire(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 500, 0).decode(errors="replace") or "an unknown process"
        raise OutputError(
            f"{path.parent}: locked by {holder}; wait for that run, or give this one its own folder"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise output_error(path, error) from error
        logger.warning("%s: this file system has no locks; run only one task on it", path.parent)
