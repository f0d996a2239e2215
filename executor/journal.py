"""What a task has finished so far, on disk, so that a run that was killed is not done again.

    {"fingerprint": "5f1c...", "version": 1}      first line: what decides the results
    <crc32> <entries> <bytes>                     then groups of entries: a head,
    <entry>                                       and one line for each entry

A group is handed to the system in one piece as soon as it is complete (it survives the process),
and is on the disk a few seconds later (it survives the machine). What a reader cannot verify, and
all that follows it, was never finished. Entries are texts without line breaks; their order is
that of the work.
"""

import hashlib
import json
import logging
import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from executor.atomic_file import output_error, sync_directory

logger = logging.getLogger(__name__)

_VERSION = 1
_SYNC_S = 5.0
_PREFIX, _SUFFIX = ".", ".journal"


class Journal:
    """The entries of one task: those of earlier runs, then the ones added here.

    num_done  entries in the file
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Take up the journal at `path` if its fingerprint is this one, else begin a new one.

        OutputError here and in `add` when the file cannot be written.
        """
        self._path = path
        self._head = json.dumps({"fingerprint": fingerprint, "version": _VERSION}).encode() + b"\n"
        self.num_done = 0
        self._size = 0
        self._sync_time = time.monotonic()
        try:
            self._descriptor = _opened(path)
            try:
                self._take_up()
            except BaseException:
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise output_error(path, error) from error

    def _take_up(self) -> None:
        with self._path.open("rb") as stream:
            head = stream.readline(len(self._head) + 1)
            if head == self._head:
                self._size = len(head)
                for entries, num_bytes in _groups(stream):
                    self.num_done += len(entries)
                    self._size += num_bytes
        found = os.fstat(self._descriptor).st_size
        if self._size and self._size < found:
            logger.warning(
                "%s: its last %d bytes are damaged; what they told is done again",
                self._path,
                found - self._size,
            )
        elif found and not self._size:
            logger.info("%s belongs to another run; starting from the beginning", self._path)
        os.ftruncate(self._descriptor, self._size)
        if not self._size:
            self._write(self._head)
            sync_directory(self._path.parent)

    def add(self, entries: Sequence[str]) -> None:
        """Record a group of entries; all of them count from now on, or none."""
        if not entries:
            return
        body = "".join(f"{entry}\n" for entry in entries).encode("utf-8", "surrogateescape")
        head = f"{zlib.crc32(body):08x} {len(entries)} {len(body)}\n".encode()
        try:
            self._write(head + body)
            if time.monotonic() - self._sync_time > _SYNC_S:
                os.fdatasync(self._descriptor)
                self._sync_time = time.monotonic()
        except OSError as error:
            raise output_error(self._path, error) from error
        self.num_done += len(entries)

    def _write(self, data: bytes) -> None:
        """Append; after a failure the file is as it was."""
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._size + written)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def __iter__(self) -> Iterator[str]:
        """All entries, from the first; a stream."""
        with self._path.open("rb") as stream:
            stream.readline()
            for entries, _ in _groups(stream):
                yield from entries

    def close(self) -> None:
        """No more entries; the file stays."""
        os.close(self._descriptor)


def journal_path(folder: Path, task: str) -> Path:
    """Where the journal of a task lies in the output folder."""
    return folder / f"{_PREFIX}{task}{_SUFFIX}"


def remove_journals(folder: Path) -> None:
    """Forget all journals, once what they were for is published."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            path.unlink()


def fingerprint(facts: Mapping[str, object], files: Sequence[Path] = ()) -> str:
    """A digest of what decides results: facts, as JSON can tell them, and contents of files.

    OSError when a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    for path in files:
        digest.update(b"\0")
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except PermissionError:  # another user's, who ran before us: of no use, but in the way
        path.unlink(missing_ok=True)
        return os.open(path, flags, 0o666)


def _groups(stream: IO[bytes]) -> Iterator[tuple[list[str], int]]:
    """Entries of each sound group and its size in bytes, up to the first that is not sound."""
    size = os.fstat(stream.fileno()).st_size
    while True:
        head = stream.readline(64)
        try:
            crc, num_entries, num_bytes = head.split()
            if not 0 < int(num_bytes) <= size - stream.tell():
                return
            body = stream.read(int(num_bytes))
            if zlib.crc32(body) != int(crc, 16) or body.count(b"\n") != int(num_entries):
                return
        except ValueError:
            return
        entries = body.decode("utf-8", "surrogateescape").split("\n")
        del entries[-1]
        yield entries, len(head) + len(body)
