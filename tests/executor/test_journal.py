"""Entries of earlier runs and other machines count, and nothing else does."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.journal import (
    WHOLE,
    Journal,
    Shard,
    fingerprint,
    journal_path,
    remove_journals,
)
from executor.shard_file import read_groups

NUM = 7
"""Candidates, in groups of three."""


@contextmanager
def opened(
    folder: Path, mark: str = "f", *, num: int = NUM, shard: Shard = WHOLE
) -> Iterator[Journal]:
    with closing(Journal(folder, "infer", mark, num, shard)) as journal:
        yield journal


@pytest.fixture
def gaps(tmp_path: Path) -> Path:
    """A folder with a journal of three groups, with an open entry in two of them."""
    with opened(tmp_path) as journal:
        journal.add(0, ["a", "b", "c"], b".?.")
        journal.add(3, ["d", "e", "f"], b"x..")
        journal.add(6, ["g"], b"?")
    return tmp_path


def state(journal: Journal) -> tuple[int, int, int, list[int], str]:
    counts = (journal.num_done, journal.num_results, journal.num_open)
    return (*counts, list(journal.groups_to_do(3)), "".join(journal))


def test_a_run_goes_on_where_it_was(tmp_path: Path):
    with opened(tmp_path) as journal:
        assert list(journal.groups_to_do(3)) == [0, 3, 6]
        journal.add(3, ["d", "", "\udcff\tf"], b"...")
    with opened(tmp_path) as journal:
        assert journal.num_earlier == journal.num_done == 3
        assert list(journal.groups_to_do(3)) == [0, 6]
        journal.add(0, ["a", "b", "c"], b"...")
        journal.add(6, ["g"], b".")
        assert journal.num_earlier == 3
        assert list(journal) == list(journal) == ["a", "b", "c", "d", "", "\udcff\tf", "g"]
        assert list(journal.at([5, 0, 0])) == ["\udcff\tf", "a", "a"]
        assert list(journal.groups_to_do(3)) == []


def test_other_groups_are_cut_anew(gaps: Path):
    """A smaller or larger batch does whole groups of its own again where a gap is left."""
    with opened(gaps) as journal:
        assert list(journal.groups_to_do(2)) == [0, 6]
        assert list(journal.groups_to_do(1)) == [1, 6]
        assert list(journal.groups_to_do(100)) == [0]


def test_another_run_starts_from_the_beginning(gaps: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    with opened(gaps, "g") as journal:
        assert journal.num_done == 0
        assert list(journal.groups_to_do(3)) == [0, 3, 6]
    assert "belongs to another run; starting from the beginning" in caplog.text


def test_a_journal_of_the_version_before_is_told_and_starts_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    old = tmp_path / ".infer.journal"
    old.write_bytes(b'{"fingerprint": "f", "version": 2}\n1d5b3d1f 1 6\n0 .\nab\n')
    caplog.set_level(logging.INFO)
    with opened(tmp_path) as journal:
        assert journal.num_done == 0
    assert f"{old} belongs to another version of this image; starting over" in caplog.text
    assert not old.exists()


def test_what_was_tried_in_vain_is_open(gaps: Path):
    with opened(gaps) as journal:
        assert state(journal) == (5, 4, 2, [0, 6], "abcdefg")


def test_an_open_group_is_recorded_again(gaps: Path):
    with opened(gaps) as journal:
        # What an earlier attempt has found stays where this one finds nothing.
        journal.add(0, ["A", "B", "C"], b"?..")
        journal.add(6, ["G"], b"?")
        expected = (6, 5, 1, [6], "aBCdefg")
        assert state(journal) == expected
    with opened(gaps) as journal:
        assert state(journal) == expected
        journal.add(6, ["G"], b".")
        assert state(journal) == (7, 6, 0, [], "aBCdefG")


def test_what_reaches_beyond_the_end_does_not_count(gaps: Path):
    with opened(gaps) as journal:
        journal.add(5, ["F", "G", "H"], b"...")
        assert state(journal)[-1] == "abcdefg"


def test_all_is_forgotten(gaps: Path):
    with opened(gaps) as journal:
        journal.clear()
        assert list(journal.groups_to_do(3)) == [0, 3, 6]
        journal.add(3, ["D", "E", "F"], b"...")
        assert journal.num_done == 3
    with opened(gaps) as journal:
        assert list(journal.at([3, 5])) == ["D", "F"]


@pytest.mark.parametrize("count", range(1, 6))
@pytest.mark.parametrize("num", [0, 1, 3, 7, 12])
def test_shards_are_whole_groups_and_hold_each_once(num: int, count: int):
    shards = [list(Shard(number, count).groups(num, 3)) for number in range(count)]
    assert list(itertools.chain(*shards)) == list(range(0, num, 3))
    lengths = [len(shard) for shard in shards]
    assert max(lengths) - min(lengths) <= 1


def test_machines_record_their_shards_and_one_reads_all(tmp_path: Path):
    for number in range(3):
        with opened(tmp_path, shard=Shard(number, 3)) as journal:
            (start,) = journal.groups_to_do(3)
            entries = list("abcdefg"[start : start + 3])
            journal.add(start, entries, b"." * len(entries))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f".infer.{number}-of-3.journal" for number in (1, 2, 3)]
    with opened(tmp_path) as journal:
        assert state(journal) == (7, 7, 0, [], "abcdefg")


def test_what_one_machine_missed_another_finds(gaps: Path):
    with opened(gaps, shard=Shard(1, 2)) as journal:
        assert list(journal.groups_to_do(3)) == [6]
        journal.add(6, ["G"], b".")
    with opened(gaps, shard=Shard(0, 2)) as journal:
        assert list(journal.groups_to_do(3)) == [0]
        journal.add(0, ["A", "B", "C"], b"...")
        assert "".join(journal) == "ABCdefG"
    with opened(gaps) as journal:
        # Neither file is later than the other: any entry that is done will do.
        assert state(journal)[:4] == (7, 6, 0, [])
        assert "".join(journal).upper() == "ABCDEFG"


def test_files_of_another_run_do_not_count(gaps: Path):
    with opened(gaps, "g", shard=Shard(0, 2)) as journal:
        assert journal.num_done == 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_costs_whole_groups_and_nothing_else(tmp_path: Path, data: st.DataObject):
    remove_journals(tmp_path)
    entries = ["a", "", "c\td", "\udcff", "e", "f", "g"]
    with opened(tmp_path) as journal:
        for start in data.draw(st.permutations([0, 3, 6])):
            journal.add(start, entries[start : start + 3], b"." * len(entries[start : start + 3]))
    path = journal_path(tmp_path, "infer")
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(content.index(b"\n") + 1, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:position]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with opened(tmp_path) as journal:
        for start in journal.groups_to_do(3):
            journal.add(start, entries[start : start + 3], b"." * len(entries[start : start + 3]))
        assert list(journal) == entries
    with opened(tmp_path) as journal:
        assert list(journal.groups_to_do(3)) == []
        assert list(journal) == entries


def test_all_are_removed_in_the_end(gaps: Path):
    with closing(Journal(gaps, "mining", "f", 3, Shard(2, 4))):
        (gaps / ".mining.journal").touch()  # of the version before
    (gaps / "result.tsv").touch()
    remove_journals(gaps)
    assert [path.name for path in gaps.iterdir()] == ["result.tsv"]


def test_the_first_line_tells_the_run_and_the_version(gaps: Path):
    path = journal_path(gaps, "infer")
    head = b'{"fingerprint": "f", "version": 3}\n'
    assert path.read_bytes().startswith(head)
    assert [group.position for group in read_groups(path, head)] == [0, 3, 6]
    assert list(read_groups(path, head.replace(b"3", b"4"))) == []


def test_the_fingerprint_tells_facts_and_contents(tmp_path: Path):
    file = tmp_path / "index"
    file.write_text("a")
    first = fingerprint({"seed": 0, "names": ["x"]}, [file])
    assert first == fingerprint({"names": ["x"], "seed": 0}, [file])
    assert first != fingerprint({"seed": 1, "names": ["x"]}, [file])
    file.write_text("b")
    assert first != fingerprint({"seed": 0, "names": ["x"]}, [file])
