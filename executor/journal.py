"""What mining or infer has found so far, on disk, so that a run that was killed is not done again.

The sorted candidates are cut into shards, one for each machine, and the shards into groups. Each
machine adds groups to a file of its own (`shard_file`), as they are finished. A reader takes the
files together, candidate by candidate: who found something, when and in which order is all the
same. An entry is one line of text. One that is open (the storage did not give the image) holds
what a result says of it meanwhile; its group is looked at again and recorded once more.
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
"""Mark of an entry that is done."""
NO_RESULT = b"x"
"""Done, and there is no result: trying again would find none either."""
OPEN = b"?"
"""Tried in vain, and to be tried again: not done."""
_MISSING = b" "
"""Nothing is recorded."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of the sorted candidates that one of `count` machines goes through.

    Shards are contiguous and end where groups do, so batches are the same for any `count`.
    """

    number: int = 0
    count: int = 1

    def groups(self, num_candidates: int, group_size: int) -> range:
        """Where each of its groups begins."""
        starts = range(0, num_candidates, group_size)
        first, behind = (
            len(starts) * edge // self.count for edge in (self.number, self.number + 1)
        )
        return starts[first:behind]


WHOLE = Shard()
"""The shard of the only machine."""


class Journal:
    """The entries of all candidates: what earlier runs, other machines and this run found.

    num_earlier  entries that were done before this run
    """

    def __init__(
        self, folder: Path, task: str, fingerprint: str, num_candidates: int, shard: Shard = WHOLE
    ) -> None:
        """Take up the journals in `folder` that have this fingerprint; the others do not count.

        Memory holds eleven bytes for each candidate. OutputError here and in `add` when the file of
        the shard cannot be written.
        """
        self._num_candidates = num_candidates
        self._shard = shard
        _remove_other_versions(folder, task)
        head = json.dumps({"fingerprint": fingerprint, "version": _VERSION}).encode() + b"\n"
        own = journal_path(folder, task, shard)
        self._files = [own, *(path for path in _shard_files(folder, task) if path != own)]
        self._forget()
        self._own = ShardFile(own, head, self._take_note)
        if self._own.path != own:  # there is no keeping it here
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
        """Entries that need not be tried again."""
        return self.num_results + self._marks.count(NO_RESULT)

    @property
    def num_results(self) -> int:
        """Entries that are done and have a result."""
        return self._marks.count(RESULT)

    @property
    def num_open(self) -> int:
        """Entries that were tried in vain and are to be tried again."""
        return self._marks.count(OPEN)

    def groups_to_do(self, group_size: int) -> "array[int]":
        """Where groups of the shard begin that have an entry open or missing."""

        def is_to_do(start: int) -> bool:
            marks = self._marks[start : start + group_size]
            return OPEN in marks or _MISSING in marks

        return array("Q", filter(is_to_do, self._shard.groups(len(self), group_size)))

    def add(self, position: int, entries: Sequence[str], marks: bytes) -> None:
        """Record a group, from `position` on; all of its entries count from now on, or none.

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
        """The entries of all candidates, sorted as they are; a stream."""
        return self.at(range(len(self)))

    def clear(self) -> None:
        """Forget all entries."""
        self._own.clear()
        self._forget()

    def close(self) -> None:
        """No more entries; the file stays where it belongs."""
        self._own.close()

    def _forget(self) -> None:
        # Of each candidate: its mark, and where its entry begins in which file.
        self._marks = bytearray(_MISSING * len(self))
        self._file_of = array("H", bytes(2 * len(self)))
        self._places = array("Q", bytes(8 * len(self)))

    def _take_note(self, group: Group, file_number: int = 0) -> None:
        """Count what a group tells; an open entry does not take the place of another one."""
        if group.position + len(group.marks) > len(self):
            return
        for index, place in enumerate(group.places):
            position, mark = group.position + index, group.marks[index : index + 1]
            if mark != OPEN or self._marks[position : position + 1] == _MISSING:
                self._marks[position : position + 1] = mark
                self._file_of[position] = file_number
                self._places[position] = place


def journal_path(folder: Path, task: str, shard: Shard = WHOLE) -> Path:
    """Where a machine's part of the journal of a task lies in the output folder."""
    return folder / f"{_PREFIX}{task}.{shard.number + 1}-of-{shard.count}{_SUFFIX}"


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


def _shard_files(folder: Path, task: str) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}{task}.*-of-*{_SUFFIX}"))


def _remove_other_versions(folder: Path, task: str) -> None:
    """Until version 2 all entries were in one file without a shard in its name."""
    old = folder / f"{_PREFIX}{task}{_SUFFIX}"
    if old.exists():
        logger.info("%s belongs to another version of this image; starting over", old)
        with suppress(OSError):
            old.unlink()
