import os
import stat
from pathlib import Path

import pytest

from executor.errors import OutputError
from executor.output_files import atomic_writer, place_file, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replaces_and_keeps_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    path.chmod(0o777)
    write_atomically(path, "new ü \udcff\n")
    assert path.read_bytes() == "new ü ".encode() + b"\xff\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    assert names(tmp_path) == ["file"]


def test_a_failing_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_writer(path) as stream:
        stream.write(str(1 // 0))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_errors_of_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_writer(tmp_path / "file"):
        (tmp_path / "image.jpg").read_bytes()
    with pytest.raises(OSError, match="truncated"), atomic_writer(tmp_path / "file"):
        raise OSError("image file is truncated")


@pytest.mark.parametrize(
    "target", [pytest.param("missing/file", id="no folder"), pytest.param("/proc/file", id="proc")]
)
def test_unwritable_places(tmp_path: Path, target: str) -> None:
    (tmp_path / "source").touch()
    path = tmp_path / target
    with pytest.raises(OutputError, match=rf"^{path}: cannot be written"):
        write_atomically(path, "x")
    with pytest.raises(OutputError, match=rf"^{path}: cannot be written"):
        place_file(tmp_path / "source", path)


class FullDisk:
    """Fails the N-th call among all that write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int) -> None:
        self.num_calls = 0
        for name in ("fsync", "fchmod", "replace"):
            real = getattr(os, name)

            def call(*args: object, _real=real) -> object:
                self.num_calls += 1
                if self.num_calls == fail_at:
                    raise OSError(28, "No space left on device")
                return _real(*args)

            monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("fail_at", range(1, 5))
def test_the_nth_call_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with monkeypatch.context() as patch:
        FullDisk(patch, fail_at)
        try:
            write_atomically(path, "new")
        except OutputError as error:
            assert "free some space" in str(error)  # noqa: PT017
    assert path.read_text() in ("old", "new")
    assert names(tmp_path) == ["file"]


def test_a_really_full_disk() -> None:
    full = Path("/dev/full")
    with pytest.raises(OSError, match="No space left"), full.open("w") as stream:
        stream.write("x")
