import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.errors import OutputError
from executor.journal import Journal, fingerprint, journal_path, remove_journals

GROUPS = [["a", "b"], ["", "c\td"], ["\udcff"]]


def written(path: Path, groups: list[list[str]] = GROUPS, mark: str = "f") -> bytes:
    journal = Journal(path, mark)
    for group in groups:
        journal.add(group)
    journal.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path, "infer")


def test_goes_on_where_it_was(path: Path):
    written(path)
    journal = Journal(path, "f")
    assert journal.num_done == 5
    journal.add(["e"])
    journal.add([])
    assert list(journal) == list(journal) == ["a", "b", "", "c\td", "\udcff", "e"]
    journal.close()
    again = Journal(path, "f")
    assert again.num_done == 6
    again.close()


def test_another_run_starts_from_the_beginning(path: Path):
    written(path)
    journal = Journal(path, "g")
    assert journal.num_done == 0
    journal.add(["x"])
    assert list(journal) == ["x"]
    journal.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b'{"fingerprint":', b"x\n" * 50])
def test_what_is_no_journal_is_replaced(path: Path, content: bytes):
    path.write_bytes(content)
    written(path)
    journal = Journal(path, "f")
    assert journal.num_done == 5
    journal.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_only_whole_groups_count_whatever_is_damaged(path: Path, data: st.DataObject):
    path.unlink(missing_ok=True)
    content = bytearray(written(path))
    head = content.index(b"\n") + 1
    position = data.draw(st.integers(head, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:position]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    journal = Journal(path, "f")
    found = list(journal)
    whole = ["a", "b", "", "c\td", "\udcff"]
    assert found in ([], whole[:2], whole[:4], whole)
    assert journal.num_done == len(found)
    journal.add(["new"])
    assert list(journal) == [*found, "new"]
    journal.close()


@pytest.fixture
def gaps(path: Path) -> bytes:
    """A journal of three groups, with an open entry in two of them."""
    journal = Journal(path, "f")
    journal.add(["a", "b"], ".?")
    journal.add(["c", "d"], "x.")
    journal.add(["e", "f", "g"], "??.")
    journal.close()
    return path.read_bytes()


def state(journal: Journal) -> tuple[int, int, int, int, list[range], str]:
    counts = (journal.num_entries, journal.num_done, journal.num_results, journal.num_open)
    return (*counts, journal.open_groups(), "".join(journal))


def test_what_was_tried_in_vain_is_open(path: Path, gaps: bytes):
    journal = Journal(path, "f")
    assert state(journal) == (7, 4, 3, 3, [range(2), range(4, 7)], "abcdefg")
    journal.close()


def test_an_open_group_is_written_again_in_its_place(path: Path, gaps: bytes):
    journal = Journal(path, "f")
    journal.add(["A", "B"], "..", position=0)
    journal.add(["h"], "?", position=7)
    # What an earlier attempt has found stays where this one finds nothing.
    journal.add(["E", "F", "G"], "x??", position=4)
    expected = (8, 6, 4, 2, [range(4, 7), range(7, 8)], "ABcdEfgh")
    assert state(journal) == expected
    journal.close()
    again = Journal(path, "f")
    assert state(again) == expected
    again.add(["F"] * 3, "...", position=4)
    again.add(["H"], ".", position=7)
    assert state(again) == (8, 8, 7, 0, [], "ABcdFFFH")
    again.close()


def test_what_comes_after_a_group_out_of_place_is_damage(path: Path, gaps: bytes):
    whole = len(gaps)
    journal = Journal(path, "f")
    journal.add(["A", "B"], "..", position=0)
    journal.close()
    again = path.read_bytes()[whole:]
    path.write_bytes(path.read_bytes() + again)  # not open any more
    journal = Journal(path, "f")
    assert state(journal)[-1] == "ABcdefg"
    assert path.stat().st_size == whole + len(again)
    journal.close()


def test_all_is_forgotten(path: Path, gaps: bytes):
    journal = Journal(path, "f")
    journal.clear()
    assert state(journal) == (0, 0, 0, 0, [], "")
    journal.add(["new"])
    assert state(journal) == (1, 1, 1, 0, [], "new")
    journal.close()


def test_a_size_beyond_the_end_is_damage(path: Path):
    content = written(path, [["a"], ["bc"]])
    assert b" 1 7\n" in content
    path.write_bytes(content.replace(b" 1 7\n", b" 1 9\n"))
    journal = Journal(path, "f")
    assert list(journal) == ["a"]
    journal.add(["new"])
    assert list(journal) == ["a", "new"]
    journal.close()


def test_what_was_added_survives_sigkill(path: Path):
    code = (
        "import os, sys; from pathlib import Path; from executor.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), 'f')\n"
        "journal.add(['a', 'b']); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    journal = Journal(path, "f")
    assert journal.num_done == 2
    journal.close()


def test_a_full_disk_leaves_whole_groups(path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = Journal(path, "f")
    journal.add(["a"])
    write = os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) // 2], offset)

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(OutputError, match="free some space"):
        journal.add(["b" * 100])
    monkeypatch.undo()
    assert list(journal) == ["a"]
    journal.add(["c"])
    assert list(journal) == ["a", "c"]
    journal.close()


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(OutputError, match="mount an output folder"):
        Journal(tmp_path / "none" / ".infer.journal", "f")


def test_all_are_removed_in_the_end(tmp_path: Path):
    for task in ("mining", "infer"):
        written(journal_path(tmp_path, task))
    (tmp_path / "result.tsv").touch()
    remove_journals(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["result.tsv"]


def test_the_fingerprint_tells_facts_and_contents(tmp_path: Path):
    file = tmp_path / "index"
    file.write_text("a")
    first = fingerprint({"seed": 0, "names": ["x"]}, [file])
    assert first == fingerprint({"names": ["x"], "seed": 0}, [file])
    assert first != fingerprint({"seed": 1, "names": ["x"]}, [file])
    file.write_text("b")
    assert first != fingerprint({"seed": 0, "names": ["x"]}, [file])
