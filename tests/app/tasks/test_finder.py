"""Several devices find what one finds, in the same order; a process that dies is reported."""

import importlib
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.engine.errors import ImageError, StorageError
from app.tasks.__main__ import run_tasks
from app.tasks.finder import Device, Work, open_finder
from executor.candidates import Candidates
from executor.errors import ExecutorError, ModelError, OutOfMemoryError
from executor.journal import remove_journals

FAKE = """
import os, signal
from app.engine.errors import CheckpointError, ImageError, StorageError
from app.tasks.finder import DeviceFinder

class FakeFinder(DeviceFinder):
    group_size = 2
    class_names = ("cat", "dog")

    def __init__(self, device):
        if device.name == "without weights":
            raise CheckpointError("weights are missing; bring some")
        self.device = device

    def find(self, paths):
        for path in paths:
            if path.stem.endswith("killed"):
                os.kill(os.getpid(), signal.SIGKILL)
            if path.stem.endswith("bug"):
                raise KeyError("oh")
            if path.stem.endswith("broken"):
                yield path, ImageError("broken")
            elif path.stem.endswith("lost"):
                yield path, StorageError(str(path), "Stale file handle")
            else:
                yield path, f"{path.stem} on {self.device.name}"
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A finder that other processes can import, too."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "fake_finder.py").write_text(FAKE)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    return importlib.import_module("fake_finder")


def candidates(tmp_path: Path, names: list[str]) -> Candidates:
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"/images/{name}.jpg\n" for name in names))
    return Candidates(index)


def work(index: Candidates, *starts: int) -> Work:
    """Groups of two: those that begin there, or all."""
    return Work(index, 2, array("Q", starts or range(0, len(index), 2)))


def found(fake: ModuleType, names: list[str], work: Work) -> list[Any]:
    devices = [Device(name, num_workers=0, num_images=len(work)) for name in names]
    with open_finder(fake.FakeFinder, devices) as finder:
        assert list(finder.class_names) == ["cat", "dog"]
        assert finder.group_size == 2
        return list(finder.look_at(work))


@pytest.mark.parametrize(
    ("names", "starts"),
    [
        pytest.param([], [], id="no images"),
        pytest.param(["a"], [], id="one image: only one process has work"),
        pytest.param(list("abcdefg"), [], id="a last group that is not whole"),
        pytest.param(list("abcdefgh"), [4, 6], id="from the middle on"),
        pytest.param(list("abcdefghi"), [2, 6, 8], id="groups with gaps between them"),
    ],
)
def test_devices_take_turns_group_by_group(
    fake: ModuleType, tmp_path: Path, names: list[str], starts: list[int]
) -> None:
    given = work(candidates(tmp_path, names), *starts)
    todo = [names[start : start + 2] for start in starts or range(0, len(names), 2)]
    expected = [f"{name} on {'xy'[n % 2]}" for n, group in enumerate(todo) for name in group]
    assert found(fake, ["x", "y"], given) == expected
    alone = [text.replace("on y", "on x") for text in expected]
    assert found(fake, ["x"], given) == alone


def test_work_is_shared_group_by_group(tmp_path: Path) -> None:
    given = work(candidates(tmp_path, list("abcdefghi")), 0, 4, 8)
    assert len(given) == 5
    assert list(given.groups()) == [range(2), range(4, 6), range(8, 9)]
    assert [asset.image.stem for asset in given] == list("abefi")
    shares = [[asset.image.stem for asset in given.share(number, 2)] for number in range(2)]
    assert shares == [list("abi"), list("ef")]


def test_an_unreadable_image_comes_in_its_place(fake: ModuleType, tmp_path: Path) -> None:
    names = ["a", "b", "c lost", "d broken", "e"]
    results = found(fake, ["x", "y"], work(candidates(tmp_path, names)))
    whole = [results[index] for index in (0, 1, 4)]
    assert whole == ["a on x", "b on x", "e on x"]
    assert [type(result) for result in results[2:4]] == [StorageError, ImageError]
    assert results[2].reason == "Stale file handle"
    assert str(results[3]) == "broken"


@pytest.mark.parametrize(
    ("devices", "names", "error", "words"),
    [
        pytest.param(["x", "without weights"], [], ModelError, "bring some", id="cannot open"),
        pytest.param(["x", "y"], ["a", "b", "c killed"], OutOfMemoryError, "of y was", id="killed"),
        pytest.param(["x", "y"], ["a", "b", "c bug"], ExecutorError, "KeyError", id="a bug"),
    ],
)
def test_what_ends_a_process_ends_the_task(
    fake: ModuleType,
    tmp_path: Path,
    devices: list[str],
    names: list[str],
    error: type[ExecutorError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        found(fake, devices, work(candidates(tmp_path, names)))


def results_of(tree: Any, devices: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("app.tasks.candidate_task.device_names", lambda _ids: devices)
    run_tasks(tree.env, lambda _fraction: None)
    for path in sorted(tree.out.glob("*result*")):
        yield path.read_text()
        path.unlink()


def test_two_devices_leave_what_one_leaves(
    with_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = with_model
    broken = tree.root / "in/assets/broken.jpg"
    broken.write_bytes(b"<html>")
    index = tree.root / "in/candidate-index.tsv"
    index.write_text(f"{broken}\n{broken.with_name('lost.jpg')}\n{index.read_text()}")
    tree.write_env(run_mining=True, run_infer=True)
    stage = [str(path) for path in (tree.root / "in/models").rglob("*") if path.is_file()]
    tree.write_config(model_params_path=stage, conf_threshold=0.0, image_size=64, batch_size=1)
    together = list(results_of(tree, ["cpu", "cpu"], monkeypatch))
    remove_journals(tree.out)  # or the second run would find all done
    assert together == list(results_of(tree, ["cpu"], monkeypatch))
    assert len(together) == 2
    assert len(json.loads(together[0])["detection"]) == 5
