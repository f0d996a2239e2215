"""Long indexes: the inputs that are made, and the table of measurements."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from executor.candidates import Candidates
from executor.env import load_env
from executor.journal import Journal, journal_path
from executor.task_words import Task
from verification.growth.__main__ import _check, _journal_length
from verification.growth.inputs import make_inputs, tiny_config
from verification.growth.table import table
from verification.growth.watch import _cpu_s


def piece(taken_over: int, finished: int | None) -> dict[str, Any]:
    return {"taken_over": taken_over, "finished": finished}


def record(lines: int, rss: int, *pieces: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": "infer",
        "lines": lines,
        "seconds": 10.0,
        "cpu_s": 8.0,
        "peak_rss_mb": rss,
        "peak_pss_mb": 400,
        "kills": len(pieces) - 1,
        "result_mb": 1.5,
        "pieces": list(pieces),
    }


def test_table() -> None:
    whole = record(20_000, 1000, piece(0, None))
    killed = record(200_000, 1050, piece(0, 700), piece(700, None))
    rows = table([record(20_000, 1, piece(0, None)), killed, whole]).splitlines()[2:]
    assert rows == [
        "| infer | 20,000 | 10 s | 2,000 | 400 MB | 1,000 MB | +0.0 % | 0 | 0 images | 1.5 MB |",
        "| infer | 200,000 | 10 s | 20,000 | 400 MB | 1,050 MB | +5.0 % | 1 | 0 images | 1.5 MB |",
    ]


def test_cpu_time_is_that_of_a_process_and_of_those_that_ended() -> None:
    before = _cpu_s(os.getpid())
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    assert _cpu_s(os.getpid()) > before
    assert _cpu_s(0) == 0.0


def test_inputs(tmp_path: Path) -> None:
    env = load_env(make_inputs(tmp_path, task="mining", num_lines=3, settings={}))
    assert env.tasks == (Task.MINING,)
    candidates = Candidates(env.input.candidate_index_file)
    assert len({asset.image for asset in candidates}) == 3
    assert all(asset.image.is_file() for asset in candidates)
    assert tiny_config().MODEL.DEVICE == "cpu"


def test_images_done_again_are_found_out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.tsv").write_text("a\t1\nb\t0\n")
    _check(tmp_path, "mining", 2, [piece(0, 1), piece(1, None)])
    with pytest.raises(AssertionError, match="done again"):
        _check(tmp_path, "mining", 2, [piece(0, 1), piece(0, None)])


def test_journal_length(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "infer", "mark", num_candidates=9)
    journal.add(0, ["a", "b", "c"], b".?x")
    journal.close()
    assert _journal_length(journal_path(tmp_path, "infer")) == 2
