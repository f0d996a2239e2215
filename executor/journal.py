"""The findings of mining or infer so far, on disk, so that a killed run can be resumed.

The sorted candidates are cut into shards, one for each machine, and the shards into groups. Each
machine appends finished groups to its own file (`shard_file`). A reader merges the files by
candidate, so it does not matter which machine recorded an entry, or when.
An entry is one line of text. An open entry (the storage did not return the image) holds the text
for a result that is written meanwhile; its group is processed again and recorded once more.
"""

import hashlib
import json
import logging
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from executor.shard_file import Group, ShardFile, read_groups

logger = logging.getLogger(__name__)

_VERSION = 3
_PREFIX, _SUFFIX = ".", ".journal"

RESULT = b"."
"""Mark of an entry that is done and has a result."""
NO_RESULT = b"x"
"""Mark of an entry that is done without a result: another attempt would find none either."""
OPEN = b"?"
"""Mark of an entry whose image could not be read and is to be tried again."""
_MISSING = b" "
"""Mark of a candidate that has no entry yet."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of the sorted candidates that one of `count` machines processes.

    Shards are contiguous and end at group boundaries, so batches are the same for any `count`.
    """

    number: int = 0
    count: int = 1

    def groups(self, num_candidates: int, group_size: int) -> range:
        """Return the position of the first candidate of each group."""
        starts = range(0, num_candidates, group_size)
        first, behind = (
            len(starts) * edge // self.count for edge in (self.number, self.number + 1)
        )
        return starts[first:behind]


WHOLE = Shard()
"""The shard of a run on one machine: all candidates."""


class Journal:
    """The entries of all candidates, from earlier runs, other machines and this run.

    num_earlier  entries that were done before this run
    """

    def __init__(
        self, folder: Path, task: str, fingerprint: str, num_candidates: int, shard: Shard = WHOLE
    ) -> None:
        """Read the journals in `folder` that have this fingerprint and ignore the others.

        Memory holds eleven bytes for each candidate. Here and in `add`, OutputError if the file
        of the shard cannot be written.
        """
        self._num_candidates = num_candidates
        self._shard = shard
        _remove_other_versions(folder, task)
        head = json.dumps({"fingerprint": fingerprint, "version": _VERSION}).encode() + b"\n"
        own = journal_path(folder, task, shard)
        self._files = [own, *(path for path in _shard_files(folder, task) if path != own)]
        self._forget()
        self._own = ShardFile(own, head, self._take_note)
        if self._own.path != own:  # the folder cannot hold journals
            self._forget()
            self._files[0] = self._own.path
        for number, path in enumerate(self._files[1:], start=1):
            for group in read_groups(path, head):
                self._take_note(group, number)
        self.num_earlier = self.num_done

    def __len__(self) -> int:
        return self._num_candidates

    @property
    def num_done(self) -> int:
        """Number of entries that need not be tried again."""
        return self.num_results + self._marks.count(NO_RESULT)

    @property
    def num_results(self) -> int:
        """Number of entries that are done and have a result."""
        return self._marks.count(RESULT)

    @property
    def num_open(self) -> int:
        """Number of entries whose images could not be read and are to be tried again."""
        return self._marks.count(OPEN)

    def groups_to_do(self, group_size: int) -> "array[int]":
        """Return the start of each group of the shard with an open or missing entry."""

        def is_to_do(start: int) -> bool:
            marks = self._marks[start : start + group_size]
            return OPEN in marks or _MISSING in marks

        return array("Q", filter(is_to_do, self._shard.groups(len(self), group_size)))

    def add(self, position: int, entries: Sequence[str], marks: bytes) -> None:
        """Record a group that starts at `position`; either all of its entries are kept or none.

        marks  one byte for each: RESULT, NO_RESULT or OPEN
        """
        self._take_note(self._own.add(position, entries, marks))

    def at(self, positions: Iterable[int]) -> Iterator[str]:
        """The entries of these candidates, in any order."""
        with ExitStack() as opened:
            files = [opened.enter_context(path.open("rb")) for path in self._files]
            for position in positions:
                file = files[self._file_of[position]]
                file.seek(self._places[position])
                yield file.readline()[:-1].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        """Yield the entries of all candidates in the order of the sorted candidates."""
        return self.at(range(len(self)))

    def clear(self) -> None:
        """Forget all entries."""
        self._own.clear()
        self._forget()

    def close(self) -> None:
        """Close the file, which stays in its folder."""
        self._own.close()

    def _forget(self) -> None:
        # For each candidate: its mark, the number of its file, and the byte where its entry begins.
        self._marks = bytearray(_MISSING * len(self))
        self._file_of = array("H", bytes(2 * len(self)))
        self._places = array("Q", bytes(8 * len(self)))

    def _take_note(self, group: Group, file_number: int = 0) -> None:
        """Merge a group into the marks; an open entry does not replace another entry."""
        if group.position + len(group.marks) > len(self):
            return
        for index, place in enumerate(group.places):
            position, mark = group.position + index, group.marks[index : index + 1]
            if mark != OPEN or self._marks[position : position + 1] == _MISSING:
                self._marks[position : position + 1] = mark
                self._file_of[position] = file_number
                self._places[position] = place


def journal_path(folder: Path, task: str, shard: Shard = WHOLE) -> Path:
    """Return the path of a machine's part of a task's journal in the output folder."""
    return folder / f"{_PREFIX}{task}.{shard.number + 1}-of-{shard.count}{_SUFFIX}"


def remove_journals(folder: Path) -> None:
    """Delete all journals; call it after the results are published."""
    with suppress(OSError):
        for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            with suppress(OSError):
                path.unlink()


def fingerprint(facts: Mapping[str, object], files: Sequence[Path] = ()) -> str:
    """Return a digest of everything that decides results: JSON facts and contents of files.

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


def _shard_files(folder: Path, task: str) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}{task}.*-of-*{_SUFFIX}"))


def _remove_other_versions(folder: Path, task: str) -> None:
    """Delete journals of older versions, which had one file without a shard in its name."""
    old = folder / f"{_PREFIX}{task}{_SUFFIX}"
    if old.exists():
        logger.info("%s belongs to another version of this image; starting over", old)
        with suppress(OSError):
            old.unlink()
