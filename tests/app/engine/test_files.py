from pathlib import Path
from typing import BinaryIO

import pytest

from app.engine.files import write_atomically


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


def test_other_users_can_read_it(tmp_path: Path):
    write_atomically(tmp_path / "file", "")

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
