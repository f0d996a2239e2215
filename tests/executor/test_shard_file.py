"""A file to which groups are appended: whole groups are read back, however the last run ended."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor.errors import OutputError
from executor.shard_file import Group, ShardFile, read_groups

HEAD = b"head\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".infer.1-of-1.journal"


def take_up(path: Path) -> tuple[ShardFile, list[Group]]:
    """A file, and what was in it."""
    found: list[Group] = []
    return ShardFile(path, HEAD, found.append), found


def written(path: Path, *groups: list[str]) -> bytes:
    file, _ = take_up(path)
    for position, group in enumerate(groups):
        file.add(position, group, b"." * len(group))
    file.close()
    return path.read_bytes()


def texts(path: Path) -> list[list[bytes]]:
    """The entries of each group, found by their places."""
    content = path.read_bytes()
    return [
        [content[place:].partition(b"\n")[0] for place in group.places]
        for group in read_groups(path, HEAD)
    ]


def test_what_is_added_is_found_at_its_place(path: Path):
    file, _ = take_up(path)
    told = [file.add(5, ["a", ""], b".?"), file.add(2, ["c\td"], b"x")]
    file.close()
    assert list(read_groups(path, HEAD)) == told
    assert [(group.position, group.marks) for group in told] == [(5, b".?"), (2, b"x")]
    assert told[-1].end == path.stat().st_size
    assert texts(path) == [[b"a", b""], [b"c\td"]]


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b'{"fingerprint":', b"x\n" * 50, b"hea"])
def test_what_is_no_such_file_is_replaced(path: Path, content: bytes):
    path.write_bytes(content)
    file, found = take_up(path)
    assert found == []
    file.close()
    assert path.read_bytes() == HEAD


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text[:-1], id="cut"),
        pytest.param(lambda text: text.replace(b"bc", b"bd"), id="changed"),
        pytest.param(lambda text: text.replace(b" 7\n", b" 9\n"), id="a size beyond the end"),
        pytest.param(lambda text: text + b"12345678 0\n", id="nothing behind a head"),
        pytest.param(lambda text: text + b"\n", id="an empty line"),
    ],
)
def test_damage_is_cut_off(path: Path, damage: object, caplog: pytest.LogCaptureFixture):
    content = written(path, ["a"], ["bc"])
    assert content.count(b" 7\n") == 1
    path.write_bytes(damage(content))  # type: ignore[operator]
    file, found = take_up(path)
    assert len(found) == (2 if damage(content).startswith(content) else 1)  # type: ignore[operator]
    assert "bytes are damaged; what they told is done again" in caplog.text
    file.add(9, ["new"], b".")
    file.close()
    assert texts(path)[-1] == [b"new"]
    assert len(texts(path)) == len(found) + 1


def test_what_was_added_survives_sigkill(path: Path):
    code = (
        "import os, sys; from pathlib import Path; from executor.shard_file import ShardFile\n"
        "file = ShardFile(Path(sys.argv[1]), b'head\\n', print)\n"
        "file.add(0, ['a', 'b'], b'..'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert texts(path) == [[b"a", b"b"]]


def test_a_full_disk_leaves_whole_groups(path: Path, monkeypatch: pytest.MonkeyPatch):
    file, _ = take_up(path)
    file.add(0, ["a"], b".")
    write = os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) // 2], offset)

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(OutputError, match="free some space"):
        file.add(1, ["b" * 100], b".")
    monkeypatch.undo()
    assert texts(path) == [[b"a"]]
    file.add(1, ["c"], b".")
    file.close()
    assert texts(path) == [[b"a"], [b"c"]]


def test_all_is_forgotten(path: Path):
    written(path, ["a"], ["b"])
    file, _ = take_up(path)
    file.clear()
    assert texts(path) == []
    file.add(0, ["new"], b".")
    file.close()
    assert texts(path) == [[b"new"]]


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(OutputError, match="mount an output folder"):
        take_up(tmp_path / "none" / ".infer.1-of-1.journal")
