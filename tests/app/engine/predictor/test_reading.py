"""Worker processes: order, errors, crashes."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine.data.images.depth import Depth
from app.engine.data.loading.image_reader import ImageReader
from app.engine.errors import DoesNotFitError, ImageError
from app.engine.predictor import reading
from app.engine.predictor.reading import read_files
from app.engine.structures.sample import Sample
from app.engine.structures.size import Resizing


def _read(path: Path) -> Sample:
    """Does what the file's name says."""
    if path.name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("once") and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("bad"):
        raise ImageError(f"{path}: bad")
    if path.name.startswith("large"):
        np.empty(1 << 60, dtype=np.uint8)
    if path.name.startswith("broken"):
        os._exit(3)
    if path.name.startswith("bug"):
        raise RuntimeError("a bug")
    if path.name.startswith("slow"):
        time.sleep(0.2)
    return Sample(torch.full((3, 2, 2), len(path.name), dtype=torch.uint8), (2, 2))


def _results(names, num_workers):
    paths = [Path(name) for name in names]
    results = list(read_files(iter(paths), _read, num_workers=num_workers))
    assert [path for path, _ in results] == paths
    return [result for _, result in results]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_order_and_errors(num_workers):
    results = _results(["slow", "a", "bad", "abc"], num_workers)
    assert [int(r.image[0, 0, 0]) for r in results if isinstance(r, Sample)] == [4, 1, 3]
    assert str(results[2]) == "bad: bad"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_image_that_memory_is_too_small_for_costs_only_itself(num_workers):
    results = _results(["a", "large", "b"], num_workers)
    assert isinstance(results[1], DoesNotFitError)
    assert "num_workers" in str(results[1])
    assert isinstance(results[2], Sample)


def test_what_a_reader_died_of_is_told_apart():
    """The system kills for want of memory; a library that fails ends itself."""
    killed, _, broken = _results(["crash", "a", "broken"], 1)
    assert isinstance(killed, DoesNotFitError)
    assert "killed twice, most likely because memory ran out" in str(killed)
    assert not isinstance(broken, DoesNotFitError)
    assert "crashed the process twice" in str(broken)


def test_a_crash_costs_only_its_own_image(caplog):
    names = ["a", "crash", *"bcdefg", "crash", "bad", *"hi"]
    results = _results(names, 2)
    failed = [name for name, r in zip(names, results, strict=True) if isinstance(r, ImageError)]
    assert failed == ["crash", "crash", "bad"]
    assert "killed twice" in str(results[1])
    assert "while it read crash" in caplog.text


def test_a_worker_killed_for_another_reason_costs_nothing(tmp_path):
    names = ["a", "b", str(tmp_path / "once"), "c", "d"]
    assert all(isinstance(result, Sample) for result in _results(names, 2))


def test_without_a_single_process_it_reads_itself(monkeypatch, caplog):
    def refuse(self, work):
        raise OSError("too many processes")

    monkeypatch.setattr(reading.WorkerPool, "_start", refuse)
    assert len(_results("abc", 2)) == 3
    assert "too many processes" in caplog.text


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bug_is_not_taken_for_a_crash(num_workers):
    with pytest.raises(RuntimeError, match="a bug"):
        _results(["a", "bug"], num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("depth", "tops", "told"),
    [
        pytest.param(Depth(), [4095, 4000, 65535], ["the largest of its values is"], id="low"),
        pytest.param(
            Depth(),
            [4095, 300],
            ["the largest of its values is 4095 where 65535 is white", "all 2 images"],
            id="all low",
        ),
        pytest.param(
            Depth(12),
            [4095, 5000, 65535],
            ["1 of 2 values lie outside 0..4095 (the largest is", "2 of 3 images"],
            id="beyond",
        ),
        pytest.param(Depth(12), [4095, 900], [], id="as decided"),
        pytest.param(Depth(12), [900, 1000], ["all 2 images"], id="fewer bits than decided"),
        pytest.param(Depth(16), [65535, 4095], [], id="a dark one"),
        pytest.param(Depth(), [], [], id="no images"),
        pytest.param(Depth(), [0], [], id="black"),
    ],
)
def test_what_is_odd_about_depth_is_told_once(tmp_path, caplog, depth, tops, told, num_workers):
    paths = [tmp_path / f"{number}.png" for number in range(len(tops))]
    for path, top in zip(paths, tops, strict=True):
        Image.fromarray(np.array([[0, top]], np.uint16)).save(path)
    results = list(
        read_files(paths, ImageReader("L", Resizing(0, 0), depth), num_workers=num_workers)
    )
    assert [path for path, _ in results] == paths
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(told)
    for line, part in zip(lines, told, strict=True):
        assert part in line
