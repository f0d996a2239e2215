"""A file of a journal: one machine appends each finished group to its end.

    {"fingerprint": "5f1c...", "version": 3}      first line: digest of the run
    <crc32> <bytes>                               then groups of candidates: a head,
    <position> <marks>                            position of the first, a mark for each,
    <entry>                                       and one line for each

A complete group is written in one piece at once (so it survives the process) and is flushed to
disk a few seconds later (so it survives the machine). A reader ignores the first group that fails
its checksum, and everything after it.

If the storage cannot append to a file (object stores), the file is in the folder for temporary
files: results are still collected, but a killed run starts over.
"""

import errno
import logging
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from common.files import sync_directory, sync_file
from common.storage import NOT_OFFERED
from executor.output_files import output_error

logger = logging.getLogger(__name__)

_SYNC_S = 5.0
_SUFFIX = ".journal"


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates that were recorded together.

    position  position of the first one among all candidates
    marks     one byte for each candidate
    places    byte of the file at which the entry of each candidate begins
    end       first byte after the group
    """

    position: int
    marks: bytes
    places: Sequence[int]
    end: int


def read_groups(path: Path, head: bytes) -> Iterator[Group]:
    """Yield each group up to the first damaged one; none if the first line is not `head`."""
    with path.open("rb") as stream:
        if stream.readline(len(head) + 1) != head:
            return
        size = os.fstat(stream.fileno()).st_size
        while True:
            try:
                crc, num_bytes = stream.readline(64).split()
                start = stream.tell()
                if not 0 < int(num_bytes) <= size - start:
                    return
                body = stream.read(int(num_bytes))
                if zlib.crc32(body) != int(crc, 16):
                    return
                group = _group(body, start)
            except ValueError:
                return
            yield group


class ShardFile:
    """The file to which one machine appends its groups.

    path  its path: in the folder for temporary files if the output folder cannot hold it
    """

    def __init__(self, path: Path, head: bytes, note: Callable[[Group], None]) -> None:
        """Continue the file at `path` if its first line is `head`, else begin a new one.

        `note` is called with each group that an earlier run left in it. Here and in `add`,
        OutputError if the file cannot be written.
        """
        self.path = path
        self._head = head
        self._note = note
        self._size = 0
        self._sync_time = time.monotonic()
        self._is_here = True
        try:
            self._open()
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise output_error(path, error) from error
            self._open_elsewhere(error)

    def add(self, position: int, entries: Sequence[str], marks: bytes) -> Group:
        """Record a group; either all of its entries are kept or none."""
        text = "".join(f"{entry}\n" for entry in entries)
        body = b"%d %s\n" % (position, marks) + text.encode("utf-8", "surrogateescape")
        try:
            self._write(f"{zlib.crc32(body):08x} {len(body)}\n".encode() + body)
            if time.monotonic() - self._sync_time > _SYNC_S:
                sync_file(self._descriptor)
                self._sync_time = time.monotonic()
        except OSError as error:
            raise output_error(self.path, error) from error
        return _group(body, self._size - len(body))

    def clear(self) -> None:
        """Delete all groups."""
        try:
            os.ftruncate(self._descriptor, len(self._head))
        except OSError as error:
            raise output_error(self.path, error) from error
        self._size = len(self._head)

    def close(self) -> None:
        """Close the file, which stays in its folder."""
        with suppress(OSError):
            os.close(self._descriptor)
        if not self._is_here:
            with suppress(OSError):
                self.path.unlink()

    def _open(self) -> None:
        self._descriptor = _opened(self.path)
        try:
            self._take_up()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _open_elsewhere(self, error: OSError) -> None:
        logger.warning(
            "%s: files cannot be changed here once they are written (%s); should this run be"
            " interrupted, the next one starts over",
            self.path.parent,
            error.strerror,
        )
        with suppress(OSError):
            self.path.unlink()
        self._size, self._is_here = 0, False
        handle, name = tempfile.mkstemp(_SUFFIX)
        os.close(handle)
        self.path = Path(name)
        try:
            self._open()
        except OSError as problem:
            raise output_error(self.path, problem) from problem

    def _take_up(self) -> None:
        for group in read_groups(self.path, self._head):
            self._note(group)
            self._size = group.end
        found = os.fstat(self._descriptor).st_size
        if 0 < self._size < found:
            logger.warning(
                "%s: its last %d bytes are damaged; what they told is done again",
                self.path,
                found - self._size,
            )
        elif found and not self._size:
            logger.info("%s belongs to another run; starting from the beginning", self.path)
        os.ftruncate(self._descriptor, self._size)
        if not self._size:
            self._begin()

    def _begin(self) -> None:
        """Write the first line, and check that the file can be read, and can grow after a flush."""
        for part in (self._head[:1], self._head[1:]):
            self._write(part)
            sync_file(self._descriptor)
        if self.path.read_bytes() != self._head:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        sync_directory(self.path.parent)

    def _write(self, data: bytes) -> None:
        """Append to the file; a failure leaves it unchanged."""
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._size + written)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except PermissionError:  # it belongs to the user of an earlier run
        path.unlink(missing_ok=True)
        return os.open(path, flags, 0o666)


def _group(body: bytes, start: int) -> Group:
    """Parse the group that begins at a byte of the file; ValueError if it is not valid."""
    about, *entries = lines = body.split(b"\n")[:-1]
    position, marks = about.split(b" ")
    if len(entries) != len(marks):
        raise ValueError(f"{len(entries)} entries with {len(marks)} marks")
    places = list(accumulate((len(line) + 1 for line in lines), initial=start))
    return Group(int(position), marks, places[1:-1], places[-1])
