import os
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from app.engine.files import remove_remains, write_atomically


def test_content_replaces_the_old_file(tmp_path: Path):
    path = tmp_path / "folder" / "file"
    for content in ("text", b"bytes"):
        write_atomically(path, content)

    assert path.read_bytes() == b"bytes"
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """torch.save turns the disk's error into one about positions in its archive."""
    real = os.open

    def open_full(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            os.close(real(path, flags, *mode))
            return real("/dev/full", os.O_WRONLY)
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", open_full)

    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "file", lambda file: torch.save(torch.zeros(1 << 20), file))

    assert caught.value.filename == str(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_remains_of_killed_writers_are_removed(tmp_path: Path):
    (tmp_path / "best").mkdir()
    for name in (".model.pth.x1_2.part", "best/.model.pth.y.part", "best/model.pth", ".lock"):
        (tmp_path / name).touch()

    remove_remains(tmp_path)

    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert names == {"best", "best/model.pth", ".lock"}


def test_other_users_can_read_it(tmp_path: Path):
    write_atomically(tmp_path / "file", "")

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
