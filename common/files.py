"""Atomic writing: a path holds the old file or the new one, whenever process or machine stop.

They are written under a temporary name beside the target, flushed to the disk, then renamed over
it. Network shares and object stores lack some of these operations. Then modes, hard links and
flushing are left out, and files that cannot be renamed are written in place.
"""

import errno
import hashlib
import io
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.storage import LOST, NOT_OFFERED

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

logger = logging.getLogger(__name__)

# The second form is that of older images (process, number), which may have used the same folder.
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8}\.part|\d+\.\d+\.tmp)")
_BUFFER_BYTES = 1 << 17  # a model has hundreds of small tensors, so a large buffer helps
_READABLE_BY_ALL = 0o644  # the host reads our files as another user

_without_rename: set[Path] = set()


def write_atomically(path: Path, content: bytes | str | Callable[[BinaryIO], None]) -> None:
    """Make `content` the content of `path`; a callable writes into the open file itself.

    Folders are made where missing, and every user may read the file. For errors see `atomic_file`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, mode=_READABLE_BY_ALL) as file:
        if callable(content):
            content(file)
        else:
            file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """A stream that becomes `path` at the end of the block, and vanishes if the block fails.

    mode  the file's permissions whatever the umask; None keeps those of the old file, so that its
          writers can write the new one

    For a disk error, the OSError names `path`, even if the block replaced it by another error, as
    torch.save does. All other errors of the block are unchanged.
    """
    in_place = _must_stay(path)
    part = path if in_place else _temporary(path)
    try:
        if in_place:
            _part_from_twins(path)
        file = _DiskFile(_opened(part, os.O_TRUNC if in_place else os.O_EXCL, mode), _BUFFER_BYTES)
    except OSError as error:
        raise _naming(path, error) from error
    try:
        with file:
            yield file
            file.flush()
            _set_mode(file.fileno(), path, mode)
            with file.remembering():
                sync_file(file.fileno())
        if not in_place:
            with file.remembering():
                _rename(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if file.failure is None or not isinstance(error, Exception):
            raise
        raise _naming(path, file.failure) from error
    sync_directory(path.parent)


def place_file(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, in one step and without copying where possible.

    The two may share their content on disk, so neither may be written in place afterwards. An
    OSError names `target`.
    """
    temporary = _temporary(target)
    try:
        if _must_stay(target):
            _copy(source, target)
        else:
            try:
                os.link(source, temporary)
            except OSError:
                _copy(source, temporary)
            _rename(temporary, target)
        sync_directory(target.parent)
    except OSError as error:
        raise _naming(target, error) from error
    finally:
        with suppress(OSError):  # it remains if the target was the same file already
            temporary.unlink()


def require_writable(directory: Path, *, again: bool) -> None:
    """Raise OSError unless a file can be made in `directory`; access rights alone do not show it.

    again  also write the same file a second time, which not all object stores allow
    """
    probe = _temporary(directory / "probe")
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    os.close(os.open(probe, flags | os.O_EXCL, 0o666))
    try:
        if again:
            os.close(os.open(probe, flags | os.O_TRUNC, 0o666))
    finally:
        with suppress(OSError):
            probe.unlink()


def remove_remains(directory: Path) -> None:
    """Delete the temporary files of killed writers below a folder; nobody may write there."""
    with suppress(OSError):
        for path in directory.rglob(".*"):
            if _TEMPORARY.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()


def sync_file(descriptor: int) -> None:
    """Flush a file to the disk, where the file system supports that.

    OSError if the system reports lost data: it does so only once, and the file looks complete
    afterwards. All other errors only mean that flushing is not supported here.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in LOST:
            raise


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` survive a power cut, where the file system supports that.

    Otherwise no content is lost: it is on the disk under its new name or its old one.
    """
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _DiskFile(io.BufferedWriter):
    """A file that keeps the disk's own error, which the writer may replace by another."""

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        with self.remembering():
            return super().write(data)

    def flush(self) -> None:
        with self.remembering():
            super().flush()

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Keep an OSError of the block as `failure` and raise it."""
        try:
            yield
        except OSError as error:
            self.failure = error
            raise


def _opened(path: Path, kind: int, mode: int | None) -> io.FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kind
    return io.FileIO(os.open(path, flags, 0o666 if mode is None else mode), "w")


def _set_mode(descriptor: int, path: Path, mode: int | None) -> None:
    """Set the mode where the file system allows it: network shares have their own modes."""
    with suppress(OSError):
        os.fchmod(descriptor, path.stat().st_mode & 0o777 if mode is None else mode)


def _naming(path: Path, error: OSError) -> OSError:
    return OSError(error.errno, error.strerror, str(path))


def _must_stay(path: Path) -> bool:
    """Whether a file cannot be replaced by another one."""
    return not _without_rename.isdisjoint({path, path.parent})


def _temporary(path: Path) -> Path:
    """Return a unique name that `_TEMPORARY` matches."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")


def _rename(part: Path, path: Path) -> None:
    """Rename `part` to `path` in one step; if renaming is impossible, write `path` in place."""
    try:
        part.replace(path)
    except OSError as error:
        # EBUSY: the file itself is mounted, but other files of the folder are not.
        stays = path if error.errno == errno.EBUSY else path.parent
        if stays != path and error.errno not in NOT_OFFERED:
            raise
        _copy(part, path)
        if not _without_rename:
            logger.warning(
                "%s: files cannot be replaced here (%s), so they are written in place: who reads"
                " one meanwhile, or after a crash, may find half of it",
                stays,
                error.strerror,
            )
        _without_rename.add(stays)
        with suppress(OSError):
            part.unlink()


def _copy(source: Path, target: Path) -> None:
    _part_from_twins(target)
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _BUFFER_BYTES)
        writer.flush()
        sync_file(writer.fileno())


def _part_from_twins(path: Path) -> None:
    """Separate a file from its hard links before it is written in place."""
    with suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            path.unlink()
