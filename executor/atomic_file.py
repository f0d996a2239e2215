"""Files that are either the old one or the new one, whenever the process or the machine stops.

Written under a temporary name beside the target, flushed to disk, then renamed over it. A file
system that lacks one of these (network shares, object stores) gets what it can bear: modes, hard
links and flushing are done without, and where files cannot be renamed they are written in place.
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

NOT_OFFERED = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EXDEV, errno.ENOTTY}
)
"""What file systems say of an operation that they do not have."""

GONE = frozenset(
    {
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
"""What they say when the server or the device behind them is not there any more."""

LOST = GONE | {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What they say of data that they could not keep."""

_SUFFIX = ".tmp"
_counter = itertools.count()
_without_rename: set[Path] = set()


def write_atomically(path: Path, text: str) -> None:
    """Make `text` the content of `path`; OutputError when that is impossible."""
    with atomic_writer(path) as stream:
        stream.write(text)


@contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """A text stream that becomes `path` at the end of the block, and vanishes if the block fails.

    UTF-8; bytes that were not UTF-8 where a name was read come out as they were.
    """
    in_place, is_open = _must_stay(path), False
    part = path if in_place else _temporary(path)
    try:
        if in_place:
            _part_from_twins(path)
        with part.open(
            "w" if in_place else "x", encoding="utf-8", errors="surrogateescape", newline="\n"
        ) as stream:
            is_open = True
            yield stream
            stream.flush()
            _keep_mode(path, stream.fileno())
            sync_file(stream.fileno())
        if not in_place:
            _rename(part, path)
        sync_directory(path.parent)
    except BaseException as error:
        if is_open:
            with suppress(OSError):
                part.unlink()
        if isinstance(error, OSError) and _is_about(error, part, path, path.parent):
            raise output_error(path, error) from error
        raise


def place_file(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, in one step and without copying where possible.

    The two may share their content on disk, so neither may be written in place afterwards.
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
        raise output_error(target, error) from error
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


def sweep_temporaries(directory: Path) -> None:
    """Remove what writers that were killed left behind; call only while nobody writes here."""
    with suppress(OSError):
        for path in directory.glob(f".*.*{_SUFFIX}"):
            parts = path.name.rsplit(".", 3)
            if len(parts) == 4 and parts[1].isdigit() and parts[2].isdigit():
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


def output_error(path: Path, error: OSError) -> OutputError:
    """Why `path` cannot be written, and what to do."""
    return OutputError(f"{path}: cannot be written ({error.strerror or error}); {remedy(error)}")


def remedy(error: OSError) -> str:
    """What to do about an error of the storage."""
    remedies = {
        errno.ENOSPC: "free some space on the disk behind it",
        errno.EDQUOT: "free some space or raise the quota",
        errno.EROFS: "mount the output folder writable",
        errno.EACCES: "let the container's user write there (docker run --user)",
        errno.ENOENT: "mount an output folder there",
        **dict.fromkeys(GONE, "check that it is mounted and that its server answers"),
        **dict.fromkeys(
            NOT_OFFERED,
            "let the container's user write there (docker run --user), on a mount where files can"
            " be replaced and removed (an object store must allow overwriting and deleting)",
        ),
    }
    return remedies.get(error.errno or 0, "check the disk behind it")


def _must_stay(path: Path) -> bool:
    """Whether a file cannot be replaced by another."""
    return not _without_rename.isdisjoint({path, path.parent})


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{next(_counter)}{_SUFFIX}")


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
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        sync_file(writer.fileno())


def _part_from_twins(path: Path) -> None:
    """Before it is written in place: a file must not share its content with others."""
    with suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            path.unlink()


def _is_about(error: OSError, *paths: Path) -> bool:
    """Whether an error arose from writing one of `paths`, not from what else the block did."""
    if error.filename is not None:
        return str(error.filename) in {str(path) for path in paths}
    # Writes and flushes name no file; what is no system error at all has no number.
    return error.errno is not None


def _keep_mode(path: Path, descriptor: int) -> None:
    """Whoever could write the old file can write the new one: platforms rewrite ours."""
    with suppress(OSError):
        os.fchmod(descriptor, path.stat().st_mode & 0o777)
