"""Files that are either the old one or the new one, whenever the process or the machine stops.

Written under a temporary name beside the target, flushed to disk, then renamed over it.
"""

import errno
import itertools
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from executor.errors import OutputError

logger = logging.getLogger(__name__)

_SUFFIX = ".tmp"
_counter = itertools.count()


def write_atomically(path: Path, text: str) -> None:
    """Make `text` the content of `path`; OutputError when that is impossible."""
    with atomic_writer(path) as stream:
        stream.write(text)


@contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """A text stream that becomes `path` at the end of the block, and vanishes if the block fails.

    UTF-8; bytes that were not UTF-8 where a name was read come out as they were.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_counter)}{_SUFFIX}")
    try:
        with temporary.open(
            "x", encoding="utf-8", errors="surrogateescape", newline="\n"
        ) as stream:
            yield stream
            stream.flush()
            _keep_mode(path, stream.fileno())
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and _is_about(error, temporary, path.parent):
            raise output_error(path, error) from error
        raise


def place_file(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, in one step and without copying where possible.

    The two may share their content on disk, so neither may be written in place afterwards.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{next(_counter)}{_SUFFIX}")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        temporary.replace(target)
        sync_directory(target.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise output_error(target, error) from error


def sweep_temporaries(directory: Path) -> None:
    """Remove what writers that were killed left behind; call only while nobody writes here."""
    for path in directory.glob(f".*.*{_SUFFIX}"):
        parts = path.name.rsplit(".", 3)
        if len(parts) == 4 and parts[1].isdigit() and parts[2].isdigit():
            with suppress(OSError):
                path.unlink()


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` survive a power cut, where the file system can promise that."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def output_error(path: Path, error: OSError) -> OutputError:
    """Why `path` cannot be written, and what to do."""
    remedies = {
        errno.ENOSPC: "free some space on the disk behind it",
        errno.EDQUOT: "free some space or raise the quota",
        errno.EROFS: "mount the output folder writable",
        errno.EACCES: "let the container's user write there (docker run --user)",
        errno.EPERM: "let the container's user write there (docker run --user)",
        errno.ENOENT: "mount an output folder there",
    }
    remedy = remedies.get(error.errno or 0, "check the disk behind it")
    return OutputError(f"{path}: cannot be written ({error.strerror or error}); {remedy}")


def _is_about(error: OSError, *paths: Path) -> bool:
    """Whether an error arose from writing one of `paths`, not from what else the block did."""
    if error.filename is not None:
        return str(error.filename) in {str(path) for path in paths}
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _keep_mode(path: Path, descriptor: int) -> None:
    """Whoever could write the old file can write the new one: platforms rewrite ours."""
    with suppress(OSError):
        os.fchmod(descriptor, path.stat().st_mode & 0o777)
