"""What a task has finished so far, on disk, so that a run that was killed is not done again.

    {"fingerprint": "5f1c...", "version": 2}      first line: what decides the results
    <crc32> <entries> <bytes>                     then groups of entries: a head,
    <position> <marks>                            where the group belongs, a mark for each entry,
    <entry>                                       and one line for each entry

A group is handed to the system in one piece as soon as it is complete (it survives the process),
and is on the disk a few seconds later (it survives the machine). What a reader cannot verify, and
all that follows it, was never finished. Entries are texts without line breaks; their order is
that of the work. An entry that is not finished yet holds what a result says of it meanwhile; its
group may be written once more, behind the others, and then counts in place of the first.

Where a file cannot be changed after it was written (object stores), the journal lies in the
folder for temporary files: results are gathered all the same, but a killed run starts over.
"""

import errno
import hashlib
import json
import logging
import os
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common.files import sync_directory, sync_file
from common.storage import NOT_OFFERED
from executor.output_files import output_error

logger = logging.getLogger(__name__)

_VERSION = 2
_SYNC_S = 5.0
_PREFIX, _SUFFIX = ".", ".journal"

RESULT = "."
"""Mark of an entry that is done."""
NO_RESULT = "x"
"""Done, and there is no result: trying again would find none either."""
OPEN = "?"
"""Tried in vain, and to be tried again: not done."""


@dataclass(frozen=True, slots=True)
class Group:
    """Entries that were recorded together.

    position  of the first among all entries
    marks     one letter for each: RESULT, NO_RESULT or OPEN
    """

    position: int
    marks: str
    entries: Sequence[str]

    @property
    def range(self) -> range:
        """Positions of its entries."""
        return range(self.position, self.position + len(self.marks))

    def completed_by(self, earlier: "Group") -> "Group":
        """Its own entries and, where they are open, those of an earlier attempt."""
        better = [
            (mark, entry) if mark != OPEN else (earlier.marks[index], earlier.entries[index])
            for index, (mark, entry) in enumerate(zip(self.marks, self.entries, strict=True))
        ]
        marks, entries = zip(*better, strict=True)
        return Group(self.position, "".join(marks), entries)


class Journal:
    """The entries of one task: those of earlier runs, then the ones added here."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Take up the journal at `path` if its fingerprint is this one, else begin a new one.

        OutputError here and in `add` when the file cannot be written.
        """
        self._path = path
        self._head = json.dumps({"fingerprint": fingerprint, "version": _VERSION}).encode() + b"\n"
        self._size = 0
        self._sync_time = time.monotonic()
        self._is_here = True
        self._forget()
        try:
            self._open()
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise output_error(path, error) from error
            self._open_elsewhere(error)

    def _open(self) -> None:
        self._descriptor = _opened(self._path)
        try:
            self._take_up()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _open_elsewhere(self, error: OSError) -> None:
        """A journal in the folder for temporary files, since the right place takes none."""
        logger.warning(
            "%s: files cannot be changed here once they are written (%s); should this run be"
            " interrupted, the next one starts over",
            self._path.parent,
            error.strerror,
        )
        with suppress(OSError):
            self._path.unlink()
        self._size, self._is_here = 0, False
        handle, name = tempfile.mkstemp(_SUFFIX)
        os.close(handle)
        self._path = Path(name)
        try:
            self._open()
        except OSError as problem:
            raise output_error(self._path, problem) from problem

    def _forget(self) -> None:
        self._counts: Counter[str] = Counter()
        # Where in the file groups lie that have open entries, and those written again.
        self._unfinished: dict[int, int] = {}
        self._rewritten: dict[int, int] = {}

    def _take_up(self) -> None:
        with self._path.open("rb") as stream:
            head = stream.readline(len(self._head) + 1)
            if head == self._head:
                self._size = len(head)
                for group, num_bytes in _groups(stream):
                    if not self._count(group, place=self._size):
                        break
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
            self._begin()

    def _begin(self) -> None:
        """Write the first line, and see that the file can grow when it was flushed, and be read."""
        for part in (self._head[:1], self._head[1:]):
            self._write(part)
            sync_file(self._descriptor)
        if self._path.read_bytes() != self._head:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        sync_directory(self._path.parent)

    @property
    def num_entries(self) -> int:
        """How far the work has come: entries recorded, done or not."""
        return self._counts.total()

    @property
    def num_done(self) -> int:
        """Entries that need not be tried again."""
        return self.num_entries - self.num_open

    @property
    def num_results(self) -> int:
        """Entries that are done and have a result."""
        return self._counts[RESULT]

    @property
    def num_open(self) -> int:
        """Entries that were tried in vain and are to be tried again."""
        return self._counts[OPEN]

    def open_groups(self) -> list[range]:
        """Positions of groups that have an open entry; `add` takes each once more."""
        return [self._group_at(place).range for _, place in sorted(self._unfinished.items())]

    def add(
        self, entries: Sequence[str], marks: str | None = None, *, position: int | None = None
    ) -> None:
        """Record a group of entries; all of them count from now on, or none.

        marks     one for each; None: all have a RESULT
        position  of the first, behind all others or in an open group; None: behind all others
        """
        if not entries:
            return
        start = self.num_entries if position is None else position
        group = Group(start, RESULT * len(entries) if marks is None else marks, entries)
        try:
            if start in self._unfinished:
                group = group.completed_by(self._group_at(self._unfinished[start]))
            place = self._size
            self._write(_packed(group))
            if time.monotonic() - self._sync_time > _SYNC_S:
                sync_file(self._descriptor)
                self._sync_time = time.monotonic()
        except OSError as error:
            raise output_error(self._path, error) from error
        known = self._count(group, place=place)
        assert known, "neither the next group nor an open one"

    def _count(self, group: Group, *, place: int) -> bool:
        """Take note of a group that lies at a place in the file; False where it has no business."""
        if group.position in self._unfinished:
            earlier = self._group_at(self._unfinished.pop(group.position))
            if len(earlier.marks) != len(group.marks):
                return False
            self._counts.subtract(earlier.marks)
            self._rewritten[group.position] = place
        elif group.position != self.num_entries:
            return False
        self._counts.update(group.marks)
        if OPEN in group.marks:
            self._unfinished[group.position] = place
        return True

    def _group_at(self, place: int) -> Group:
        """The group at a place that was sound when it was written or looked at."""
        with open(self._descriptor, "rb", closefd=False) as stream:
            stream.seek(place)
            for group, _ in _groups(stream):
                return group
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def clear(self) -> None:
        """Forget all entries."""
        try:
            os.ftruncate(self._descriptor, len(self._head))
        except OSError as error:
            raise output_error(self._path, error) from error
        self._size = len(self._head)
        self._forget()

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
        position = 0
        with self._path.open("rb") as stream:
            stream.readline()
            for group, _ in _groups(stream):
                if group.position != position:
                    continue  # written again: it was told in its place
                position += len(group.marks)
                place = self._rewritten.get(group.position)
                yield from group.entries if place is None else self._group_at(place).entries

    def close(self) -> None:
        """No more entries; the file stays where it belongs."""
        with suppress(OSError):
            os.close(self._descriptor)
        if not self._is_here:
            with suppress(OSError):
                self._path.unlink()


def journal_path(folder: Path, task: str) -> Path:
    """Where the journal of a task lies in the output folder."""
    return folder / f"{_PREFIX}{task}{_SUFFIX}"


def remove_journals(folder: Path) -> None:
    """Forget all journals, once what they were for is published."""
    with suppress(OSError):
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


def _packed(group: Group) -> bytes:
    """A group as it lies in the file, head and body."""
    lines = (f"{group.position} {group.marks}", *group.entries)
    body = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    return f"{zlib.crc32(body):08x} {len(group.entries)} {len(body)}\n".encode() + body


def _groups(stream: IO[bytes]) -> Iterator[tuple[Group, int]]:
    """Each sound group and its size in bytes, up to the first that is not sound."""
    size = os.fstat(stream.fileno()).st_size
    while True:
        start = stream.tell()
        try:
            crc, num_entries, num_bytes = stream.readline(64).split()
            if not 0 < int(num_bytes) <= size - stream.tell():
                return
            body = stream.read(int(num_bytes))
            if zlib.crc32(body) != int(crc, 16):
                return
            place, *entries = body.decode("utf-8", "surrogateescape").split("\n")[:-1]
            position, marks = place.split(" ")
            group = Group(int(position), marks, entries)
            if not len(entries) == len(marks) == int(num_entries):
                return
        except ValueError:
            return
        yield group, stream.tell() - start
