import os
from pathlib import Path

import pytest

from app import task_process
from app.task_process import Ending, task_environment
from executor.channel import Failure


def test_environment_keeps_what_is_set(tmp_path: Path):
    given = {"HOME": str(tmp_path), "MALLOC_TOP_PAD_": "1", "PYTHONPATH": "/x", "OTHER": "y"}
    result = task_environment(given)
    assert {key: result[key] for key in ("HOME", "MALLOC_TOP_PAD_", "OTHER")} == {
        key: given[key] for key in ("HOME", "MALLOC_TOP_PAD_", "OTHER")
    }
    assert result["PYTHONPATH"].split(os.pathsep)[-1] == "/x"
    assert "TORCH_HOME" not in result
    assert result["MALLOC_MMAP_MAX_"] == "0"


@pytest.mark.parametrize(
    "home", [pytest.param({}, id="unset"), pytest.param({"HOME": "/nonexistent"}, id="unwritable")]
)
def test_the_homeless_get_a_home(home: dict[str, str]):
    result = task_environment({**home, "TORCH_HOME": "/weights"})
    assert os.access(result["HOME"], os.W_OK)
    assert result["XDG_CACHE_HOME"].startswith(result["HOME"])
    assert result["TORCH_HOME"] == "/weights"


FAILURE = Failure(300002, 3, "no images")


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        pytest.param(Ending(0), None, id="success"),
        pytest.param(Ending(0, stopped_by="SIGTERM"), None, id="done before the signal told"),
        pytest.param(Ending(3, FAILURE), 3, id="reported"),
        pytest.param(Ending(-9), 6, id="killed"),
        pytest.param(Ending(-9, stopped_by="SIGTERM", was_killed=True), 143, id="killed by us"),
        pytest.param(Ending(-15, stopped_by="SIGTERM"), 143, id="ended by the signal"),
        pytest.param(Ending(1, stopped_by="SIGINT"), 143, id="failed while stopping"),
        pytest.param(Ending(3, FAILURE, stopped_by="SIGTERM"), 3, id="failed before the signal"),
        pytest.param(Ending(-11), 70, id="crash"),
        pytest.param(Ending(-7), 6, id="no shared memory"),
        pytest.param(Ending(-4), 5, id="illegal instruction"),
        pytest.param(Ending(-15), 143, id="stopped from outside"),
        pytest.param(Ending(-64), 70, id="a signal without a name"),
        pytest.param(Ending(99), 70, id="unknown status"),
    ],
)
def test_what_an_ending_means(ending: Ending, status: int | None):
    error = ending.error()
    assert (error.exit_status if error else None) == status


def test_threads_follow_the_limit_of_the_container(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(task_process, "cpu_count", lambda: 3)
    assert task_environment({})["OMP_NUM_THREADS"] == "3"
    assert task_environment({"OMP_NUM_THREADS": "1"})["OMP_NUM_THREADS"] == "1"
    assert task_environment({})["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(
    ("limit", "text"),
    [pytest.param(None, "memory ran out", id="none"), pytest.param(2 << 30, "2.0 GiB", id="some")],
)
def test_the_memory_limit_is_told(monkeypatch: pytest.MonkeyPatch, limit: int | None, text: str):
    monkeypatch.setattr(task_process, "memory_limit", lambda: limit)
    assert text in str(Ending(-9).error())
