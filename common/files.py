"""Files that are either the old one or the new one, whenever the process or the machine stops.

They are written under a temporary name beside the target, flushed to the disk, then renamed over
it. Where a file system lacks one of these operations (network shares, object stores), modes, hard
links and flushing are done without, and files that cannot be renamed are written in place.
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

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.part")
_BUFFER_BYTES = 1 << 17  # a model is hundreds of small tensors
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

    mode  the file's permissions whatever the umask; None keeps those of the old file: whoever could
          write it can write the new one

    Where the disk is at fault, the OSError names `path`, even if the block made another error of
    it, as torch.save does. All other errors of the block stay what they are.
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
        with suppress(OSError):  # it stays where the target was the same file already
            temporary.unlink()


def require_writable(directory: Path, *, again: bool) -> None:
    """OSError unless a file can be made in `directory`: access rights alone do not tell.

    again  it must be possible to write the same file once more, too; not all object stores let that
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
    """Delete what killed writers left below a folder; call only while nobody writes there."""
    with suppress(OSError):
        for path in directory.rglob(".*.part"):
            if _TEMPORARY.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()


def sync_file(descriptor: int) -> None:
    """Have what was written reach the disk, where the file system can promise that.

    OSError where it says that data is lost: it says so once, and the file looks whole afterwards.
    Everything else that can be said only means that there is no such promise here.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in LOST:
            raise


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` survive a power cut, where the file system can promise that.

    Nothing is lost without: the content is on the disk, under its new name or its old one.
    """
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Digest of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _DiskFile(io.BufferedWriter):
    """A file that keeps the disk's own error, of which the writer may make another."""

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        with self.remembering():
            return super().write(data)

    def flush(self) -> None:
        with self.remembering():
            super().flush()

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Keep an OSError of the block as `failure`, too."""
        try:
            yield
        except OSError as error:
            self.failure = error
            raise


def _opened(path: Path, kind: int, mode: int | None) -> io.FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kind
    return io.FileIO(os.open(path, flags, 0o666 if mode is None else mode), "w")


def _set_mode(descriptor: int, path: Path, mode: int | None) -> None:
    """Network shares have modes of their own."""
    with suppress(OSError):
        os.fchmod(descriptor, path.stat().st_mode & 0o777 if mode is None else mode)


def _naming(path: Path, error: OSError) -> OSError:
    return OSError(error.errno, error.strerror, str(path))


def _must_stay(path: Path) -> bool:
    """Whether a file cannot be replaced by another."""
    return not _without_rename.isdisjoint({path, path.parent})


def _temporary(path: Path) -> Path:
    """A name of its own, which `_TEMPORARY` matches."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")


def _rename(part: Path, path: Path) -> None:
    """Give a file its name in one step; where nothing can be renamed, write it there."""
    try:
        part.replace(path)
    except OSError as error:
        # EBUSY: the file itself is mounted. Its neighbours are not.
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
    """Before it is written in place: a file must not share its content with others."""
    with suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            path.unlink()
