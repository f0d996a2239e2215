"""Files that are whole or absent: no reader and no power cut ever meets half of one.

A file system that lacks what this takes gets what it can bear: modes and flushing are done without,
and where files cannot be renamed they are written in place.
"""

import errno
import hashlib
import io
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

logger = logging.getLogger(__name__)

_SUFFIX = ".part"
_BUFFER_BYTES = 1 << 20  # a model is hundreds of small tensors
_MODE = 0o644  # the host reads ours as another user

# What file systems say of operations that they lack, and of data that they could not keep: the same
# lists as in executor.atomic_file, which may not be imported here.
NOT_OFFERED = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EXDEV, errno.ENOTTY}
)
LOST = frozenset(
    {
        errno.EIO,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EREMOTEIO,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ENODEV,
        errno.ENXIO,
    }
)

_without_rename: set[Path] = set()


def write_atomically(path: Path, content: bytes | str | Callable[[BinaryIO], None]) -> None:
    """Replace `path` by `content` in one step; a callable writes into the open file itself.

    Folders are made where missing. On any error the old file stays and nothing else is left. An
    OSError of the disk names `path`, also where the callable made another error of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    in_place = path.parent in _without_rename
    part = path if in_place else path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")
    if in_place:
        _part_from_twins(path)
    kind = os.O_TRUNC if in_place else os.O_EXCL
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kind, _MODE)
    try:
        _fill(_DiskFile(io.FileIO(handle, "w"), _BUFFER_BYTES), content, path)
        with suppress(OSError):  # network shares have modes of their own
            part.chmod(_MODE)  # whatever the umask
        if not in_place:
            _rename(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def sha256_of(path: Path) -> str:
    """Digest of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_remains(directory: Path) -> None:
    """Delete what killed writers left below a folder; call only while nobody writes there."""
    with suppress(OSError):
        for path in directory.rglob(f".*{_SUFFIX}"):
            with suppress(OSError):
                path.unlink(missing_ok=True)


class _DiskFile(io.BufferedWriter):
    """A file that remembers why it could not be written: torch.save tells something else."""

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        with self._remembering():
            return super().write(data)

    def flush(self) -> None:
        with self._remembering():
            super().flush()

    def sync(self) -> None:
        """Have it reach the disk, where the file system can promise that."""
        with self._remembering():
            _sync(self.fileno())

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            raise


def _fill(file: _DiskFile, content: bytes | str | Callable[[BinaryIO], None], path: Path) -> None:
    """Write `content` through to the disk; the disk's error, naming `path`, where it has one."""
    try:
        with file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            file.sync()
    except Exception as error:
        if file.failure is None:
            raise
        raise OSError(file.failure.errno, file.failure.strerror, str(path)) from error


def _rename(part: Path, path: Path) -> None:
    """Give a file its name in one step; where nothing can be renamed, write it there."""
    try:
        part.replace(path)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        _part_from_twins(path)
        with part.open("rb") as reader, path.open("wb") as writer:
            shutil.copyfileobj(reader, writer, _BUFFER_BYTES)
            writer.flush()
            _sync(writer.fileno())
        if not _without_rename:
            logger.warning(
                "%s: files cannot be renamed here (%s), so they are written in place: a crash may"
                " leave half of one",
                path.parent,
                error.strerror,
            )
        _without_rename.add(path.parent)
        with suppress(OSError):
            part.unlink()


def _part_from_twins(path: Path) -> None:
    """Before it is written in place: a file must not share its content with others."""
    with suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            path.unlink()


def _sync(handle: int) -> None:
    """OSError where data is lost, which is said once; all else means that there is no flushing."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in LOST:
            raise


def _sync_directory(directory: Path) -> None:
    """Make the new name itself durable, where the file system can."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
