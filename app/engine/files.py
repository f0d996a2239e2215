"""Files that are whole or absent: no reader and no power cut ever meets half of one."""

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SUFFIX = ".part"
_BUFFER_BYTES = 1 << 20  # a model is hundreds of small tensors


def write_atomically(path: Path, content: bytes | str | Callable[[BinaryIO], None]) -> None:
    """Replace `path` by `content` in one step; a callable writes into the open file itself.

    Folders are made where missing. On any error the old file stays and nothing else is left. An
    OSError of the disk names `path`, also where the callable made another error of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_SUFFIX, dir=path.parent)
    part = Path(name)
    try:
        _fill(_DiskFile(io.FileIO(handle, "w"), _BUFFER_BYTES), content, path)
        part.chmod(0o644)  # temporary files start private; the host reads ours as another user
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def sha256_of(path: Path) -> str:
    """Digest of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_remains(directory: Path) -> None:
    """Delete what killed writers left below a folder; call only while nobody writes there."""
    for path in directory.rglob(f".*{_SUFFIX}"):
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
            os.fsync(file.fileno())
    except Exception as error:
        if file.failure is None:
            raise
        raise OSError(file.failure.errno, file.failure.strerror, str(path)) from error


def _sync_directory(directory: Path) -> None:
    """Make the new name itself durable, where the file system can."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
