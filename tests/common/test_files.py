import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from common.files import atomic_file, place_file, remove_remains, sha256_of, write_atomically

WRITER = """
import sys
from pathlib import Path
from common.files import write_atomically
n = 0
while True:
    n += 1
    write_atomically(Path(sys.argv[1]), f"{n}\\n" * 20000)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.files._without_rename", set())


def test_content_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    for content in ("text", b"bytes", lambda file: file.write(b"called")):
        write_atomically(path, content)
    assert path.read_bytes() == b"called"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [pytest.param(None, 0o777, id="of the old file"), pytest.param(0o644, 0o644, id="given")],
)
def test_modes(mode: int | None, expected: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o777)
    with atomic_file(path, mode=mode):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == expected


def test_other_users_can_read_it(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        write_atomically(tmp_path / "file", "")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("image file is truncated")

    with pytest.raises(OSError, match="truncated") as caught:
        write_atomically(path, fail)
    assert caught.value.filename is None  # not the disk's error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert names(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_of_the_disk_names_the_file(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left") as caught:
            write_atomically(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


class Disk:
    """Notes in which order files are written, flushed to the disk and renamed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._folder = folder
        for name in ("fsync", "replace", "link"):
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name)))

    def _noting(self, name: str, real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append(f"{name} {self._told(name, arguments[0])}")
            return real(*arguments)

        return call

    def _told(self, name: str, place: Any) -> str:
        if name != "fsync":
            return "file"
        path = Path(f"/proc/self/fd/{place}").readlink()
        return "folder" if path == self._folder else f"file of {path.stat().st_size} bytes"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def test_a_file_is_on_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, disk: Disk
) -> None:
    write_atomically(tmp_path / "file", b"12345")
    assert disk.calls == ["fsync file of 5 bytes", "replace file", "fsync folder"]


def test_a_placed_file_s_name_is_on_the_disk(tmp_path: Path, disk: Disk) -> None:
    (tmp_path / "source").write_bytes(b"12345")
    place_file(tmp_path / "source", tmp_path / "target")
    assert disk.calls == ["link file", "replace file", "fsync folder"]


def test_a_copy_is_on_the_disk_before_its_name(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    (tmp_path / "source").write_bytes(b"12345")
    monkeypatch.setattr(os, "link", refuse)
    place_file(tmp_path / "source", tmp_path / "target")
    assert disk.calls == ["fsync file of 5 bytes", "replace file", "fsync folder"]


def test_what_is_written_in_place_is_flushed_too(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "replace", refuse)
    for _ in range(2):  # finds out that nothing can be renamed, then knows it
        write_atomically(tmp_path / "file", b"12345")
    file = "fsync file of 5 bytes"
    assert disk.calls == [file, file, "fsync folder", file, "fsync folder"]


def test_kills_tear_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    rng = random.Random(0)
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05 + rng.random() * 0.1)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        lines = path.read_text().split("\n")
        assert len(lines) == 20001
        assert len(set(lines)) == 2
    remove_remains(tmp_path)
    assert names(tmp_path) == ["file"]


def test_remains_of_killed_writers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    ours = (".model.pth.0123abcd.part", "best/.model.pth.76543210.part")
    of_older_images = (".monitor.txt.217.3.tmp",)
    others = ("best/model.pth", ".lock", ".my.part", ".film.mp4.part", "file.0123abcd.part")
    others += (".my.tmp", ".film.2.tmp")
    for name in (*ours, *of_older_images, *others):
        (tmp_path / name).touch()
    remove_remains(tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert found == {"best", *others}


def test_a_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file").startswith("ba7816bf8f01cfea")
