"""Several devices find what one would, in the same order, and a lost process is told."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.engine.errors import ImageError, StorageError
from app.tasks.__main__ import run_tasks
from app.tasks.finder import Work, open_finder
from executor.dataset_reader import CandidateIndex
from executor.errors import ExecutorError, ModelError, OutOfMemoryError
from executor.journal import remove_journals

FAKE = """
import os, signal
from functools import partial
from app.engine.errors import CheckpointError, ImageError, StorageError
from app.tasks.finder import DeviceFinder

def open_on(device):
    if device == "without weights":
        raise CheckpointError("weights are missing; bring some")
    return DeviceFinder(partial(find, device), 2, ("cat", "dog"))

def find(device, paths):
    for path in paths:
        if path.stem == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if path.stem == "bug":
            raise KeyError("oh")
        if path.stem == "broken":
            yield path, ImageError("broken")
        elif path.stem == "lost":
            yield path, StorageError(str(path), "Stale file handle")
        else:
            yield path, f"{path.stem} on {device}"
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


def candidates(tmp_path: Path, names: list[str]) -> CandidateIndex:
    index = tmp_path / "index.tsv"
    index.write_text("".join(f"/images/{name}.jpg\n" for name in names))
    return CandidateIndex(index)


def found(
    fake: ModuleType, devices: list[str], index: CandidateIndex, start: int = 0, *again: range
) -> list[Any]:
    with open_finder(fake.open_on, devices) as finder:
        assert list(finder.class_names) == ["cat", "dog"]
        assert finder.group_size == 2
        return list(finder.look_at(Work(index, start, again)))


@pytest.mark.parametrize(
    ("names", "start"),
    [
        pytest.param([], 0, id="no images"),
        pytest.param(["a"], 0, id="one image: only one process has work"),
        pytest.param(list("abcdefg"), 0, id="a last group that is not whole"),
        pytest.param(list("abcdefg"), 3, id="from the middle on"),
        pytest.param(list("abc"), 3, id="nothing left"),
    ],
)
def test_devices_take_turns_group_by_group(
    fake: ModuleType, tmp_path: Path, names: list[str], start: int
) -> None:
    index = candidates(tmp_path, names)
    expected = [
        f"{name} on {'xy'[position // 2 % 2]}" for position, name in enumerate(names[start:])
    ]
    assert found(fake, ["x", "y"], index, start) == expected
    alone = [text.replace("on y", "on x") for text in expected]
    assert found(fake, ["x"], index, start) == alone


def test_what_is_looked_at_again_comes_first(fake: ModuleType, tmp_path: Path) -> None:
    index = candidates(tmp_path, list("abcdefgh"))
    again = (range(2), range(4, 6))
    expected = ["a on x", "b on x", "e on y", "f on y", "g on x", "h on x"]
    assert found(fake, ["x", "y"], index, 6, *again) == expected
    work = Work(index, 6, again)
    assert len(work) == 6
    assert [asset.image.stem for asset in work] == list("abefgh")
    assert list(work.groups(4)) == [*again, range(6, 8)]


def test_an_unreadable_image_comes_in_its_place(fake: ModuleType, tmp_path: Path) -> None:
    results = found(fake, ["x", "y"], candidates(tmp_path, ["a", "b", "lost", "broken", "d"]))
    whole = [results[index] for index in (0, 1, 4)]
    assert whole == ["a on x", "b on x", "d on x"]
    assert [type(result) for result in results[2:4]] == [StorageError, ImageError]
    assert results[2].reason == "Stale file handle"
    assert str(results[3]) == "broken"


@pytest.mark.parametrize(
    ("devices", "names", "error", "words"),
    [
        pytest.param(["x", "without weights"], [], ModelError, "bring some", id="cannot open"),
        pytest.param(["x", "y"], ["a", "b", "killed"], OutOfMemoryError, "of y was", id="killed"),
        pytest.param(["x", "y"], ["a", "b", "bug"], ExecutorError, "KeyError", id="a bug"),
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
        found(fake, devices, candidates(tmp_path, names))


def results_of(tree: Any, devices: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for task in ("infer", "mining"):
        monkeypatch.setattr(f"app.tasks.{task}.device_names", lambda _ids: devices)
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
