"""Worker processes: order, errors, crashes."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from app.engine.errors import ImageError
from app.engine.predictor import reading
from app.engine.predictor.reading import read_files
from app.engine.structures.sample import Sample


def _read(path: Path) -> Sample:
    """Does what the file's name says."""
    if path.name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("once") and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("bad"):
        raise ImageError(f"{path}: bad")
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


def test_a_crash_costs_only_its_own_image(caplog):
    names = ["a", "crash", *"bcdefg", "crash", "bad", *"hi"]
    results = _results(names, 2)
    failed = [name for name, r in zip(names, results, strict=True) if isinstance(r, ImageError)]
    assert failed == ["crash", "crash", "bad"]
    assert "crashed the process" in str(results[1])
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
