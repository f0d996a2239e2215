"""The real program on real folders is stopped, killed, crashed and frozen during its work."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from app.engine.checkpoint.store import CheckpointStore
from app.task_process import descendants
from verification.reliability.check import Known, monitor_record, problems_of
from verification.reliability.trees import RealRun, Tree, make_tree


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A training that is never evaluated before it ends, and lasts long enough."""
    root = tmp_path_factory.mktemp("training")
    return make_tree(root, "training", num_candidates=1, max_iter=5000, eval_period=5000)


@pytest.fixture
def run(training: Tree) -> Iterator[RealRun]:
    """A run that has done a few iterations."""
    training.forget_output()
    begun = RealRun(training)
    wait_for_steps(training, 2)
    yield begun
    if begun.process.poll() is None:
        begun.process.kill()
    begun.process.wait()


def wait_for_steps(tree: Tree, number: int) -> None:
    end = time.monotonic() + 120
    while len(tree.steps()) < number:
        assert time.monotonic() < end, tree.log
        time.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and state_of(pid) not in "ZX"]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def assert_gone(pids: list[int]) -> None:
    end = time.monotonic() + 1
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.01)
    assert not alive(pids)


def task_of(run: RealRun) -> int:
    """The process that trains; its readers are its children."""
    return descendants(run.process.pid)[0]


@pytest.mark.parametrize("everybody", [False, True], ids=["the first process", "all processes"])
def test_a_stopped_training_leaves_a_model(run: RealRun, everybody: bool):
    """Also when a batch system signals every process: readers and task leave it to the first."""
    pids = run.everybody()
    assert len(pids) == 3  # supervisor, task, one reader
    start = time.monotonic()
    for pid in pids if everybody else pids[:1]:
        os.kill(pid, signal.SIGTERM)
    assert run.process.wait(30) == 143
    assert time.monotonic() - start < 10
    assert_gone(pids)

    tree = run.tree
    assert monitor_record(tree)[3:5] == ["4", "160004"]
    assert "start the run again" in tree.log.splitlines()[-1]
    state = CheckpointStore(tree.out / "training/checkpoints").load()
    result = yaml.safe_load((tree.out / "models/result.yaml").read_text())
    stage = result["model_stages"][result["best_stage_name"]]
    assert stage["stage_name"] == f"iter_{state['counters']['iteration']:07d}"
    weights = torch.load(
        tree.out / "models" / stage["stage_name"] / "model.pth", weights_only=True
    )["model"]
    assert all(torch.equal(weights[name], state["model"][name]) for name in state["model"])
    assert problems_of(tree, Known()) == []


def test_everybody_dies_with_the_supervisor(run: RealRun):
    pids = run.everybody()
    run.process.kill()
    run.process.wait()
    assert_gone(pids)
    assert problems_of(run.tree, Known()) == []
    again = RealRun(run.tree)  # its lock has died with it
    num_steps = len(run.tree.steps())
    wait_for_steps(run.tree, num_steps + 1)
    assert "locked" not in run.tree.log
    again.process.terminate()
    assert again.process.wait(30) == 143


@pytest.mark.parametrize(
    ("number", "status", "code", "word"),
    [
        pytest.param(signal.SIGKILL, 6, "300103", "memory", id="out of memory"),
        pytest.param(signal.SIGSEGV, 70, "160004", "SIGSEGV", id="segmentation fault"),
        pytest.param(signal.SIGBUS, 6, "300103", "shm_size", id="no shared memory"),
    ],
)
def test_the_task_dies(run: RealRun, number: int, status: int, code: str, word: str):
    pids = run.everybody()
    os.kill(task_of(run), number)
    assert run.process.wait(30) == status
    assert monitor_record(run.tree)[3:5] == ["4", code]
    assert word in run.tree.log.splitlines()[-1]
    assert_gone(pids)
    assert problems_of(run.tree, Known()) == []


def test_a_dead_reader_and_a_frozen_run_cost_nothing(run: RealRun):
    """Nor is shared memory used, which containers have little of."""
    _, _, reader = run.everybody()
    os.kill(reader, signal.SIGKILL)
    wait_for_steps(run.tree, len(run.tree.steps()) + 8)
    assert "continuing with 1 data workers" in run.tree.log

    pids = run.everybody()
    for pid in pids[1:]:
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "/dev/shm" not in maps
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1)
    frozen = len(run.tree.steps())
    time.sleep(0.5)
    assert len(run.tree.steps()) == frozen
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    wait_for_steps(run.tree, frozen + 3)
    run.process.terminate()
    assert run.process.wait(30) == 143


def test_two_signals_end_the_run_at_once(run: RealRun):
    os.kill(task_of(run), signal.SIGSTOP)  # deaf
    run.process.terminate()
    time.sleep(0.5)
    assert run.process.poll() is None
    start = time.monotonic()
    run.process.terminate()
    assert run.process.wait(30) == 143
    assert time.monotonic() - start < 3
    assert problems_of(run.tree, Known()) == []
