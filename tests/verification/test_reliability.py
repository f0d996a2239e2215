"""The check of interrupted runs finds torn and lost files; the table shows outcomes of tests."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from app.engine.checkpoint.store import CheckpointStore
from verification.reliability import outcomes
from verification.reliability.check import Known, problems_of, redone
from verification.reliability.faults import GROUPS
from verification.reliability.outcomes import Outcome, observed, read_junit
from verification.reliability.trees import TASK_ID, Tree


@pytest.mark.parametrize(
    ("steps", "again"),
    [
        pytest.param([], [], id="none"),
        pytest.param([1, 2, 3, 4], [], id="no kill, or a kill right after a checkpoint"),
        pytest.param([1, 2, 3, 3, 4, 1], [1, 4], id="two kills"),
    ],
)
def test_iterations_done_again(steps: list[int], again: list[int]):
    assert redone(steps) == again


@pytest.fixture
def training(tmp_path: Path) -> Tree:
    """What a healthy training has left after seven iterations."""
    tree = Tree(tmp_path, "training")
    stage = tree.out / "models/iter_5"
    stage.mkdir(parents=True)
    torch.save({"model": {}}, stage / "model.pth")
    (stage / "config.yaml").write_text("MODEL: {CLASS_NAMES: [cat]}")
    entry = {"files": ["model.pth", "config.yaml"], "mAP": 0.5, "timestamp": 100}
    result = {"best_stage_name": "iter_5", "model_stages": {"iter_5": entry}}
    (tree.out / "models/result.yaml").write_text(yaml.safe_dump(result))
    (tree.out / "monitor.txt").write_text(f"{TASK_ID}\t1.5\t0.2\t2\t0\t\n")
    store = CheckpointStore(tree.out / "training/checkpoints")
    store.save({"counters": {"iteration": 5}})
    (tmp_path / "steps").write_text("1\n2\n3\n4\n5\n6\n7\n")
    return tree


def test_a_healthy_training(training: Tree):
    known = Known()
    assert problems_of(training, known) == []
    assert (known.best, known.iteration, known.steps) == ((0.5, 100), 5, 7)


@pytest.mark.parametrize(
    ("file", "content", "word"),
    [
        pytest.param("monitor.txt", f"{TASK_ID}\t1.5\t0.2", "monitor", id="half a record"),
        pytest.param("monitor.txt", f"{TASK_ID}\t1\t0.2\t4\t0\t\n", "monitor", id="no code"),
        pytest.param("monitor.txt", None, "monitor.txt: lost", id="no monitor"),
        pytest.param("models/result.yaml", "best_stage", "stages", id="half a result"),
        pytest.param("models/result.yaml", None, "result.yaml: lost", id="no result"),
        pytest.param("models/iter_5/model.pth", "PK", "model.pth", id="half a model"),
        pytest.param("models/iter_5/config.yaml", None, "config.yaml", id="no config"),
        pytest.param("training/checkpoints/a.pt", "x", "checkpoint is lost", id="checkpoint"),
    ],
)
def test_what_is_torn_or_lost_is_seen(training: Tree, file: str, content: str | None, word: str):
    known = Known()
    problems_of(training, known)
    path = training.out / file
    path.unlink() if content is None else path.write_text(content)
    assert any(word in problem for problem in problems_of(training, known))


def test_too_much_work_done_again_is_seen(training: Tree):
    known = Known()
    problems_of(training, known)
    with (training.root / "steps").open("a") as steps:
        steps.write("2\n")
    assert problems_of(training, known) == ["6 iterations were lost"]


def test_results_stay_and_are_complete(tmp_path: Path):
    tree, known = Tree(tmp_path, "infer"), Known()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/candidate-index.tsv").write_text("/a/b.png\n/a/c.png\n")
    tree.out.mkdir()
    result = tree.out / "infer-result.json"
    assert problems_of(tree, known) == []
    result.write_text(json.dumps({"detection": {"b.png": {}, "c.png": {}}}))
    assert problems_of(tree, known) == []
    result.write_text(json.dumps({"detection": {"b.png": {}}}))
    assert problems_of(tree, known) == ["infer-result.json: incomplete"]
    result.unlink()
    assert problems_of(tree, known) == ["infer-result.json: lost"]


def test_finished_images_may_only_be_forgotten_by_a_run_that_is_done(tmp_path: Path):
    tree, known = Tree(tmp_path, "mining"), Known()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/candidate-index.tsv").write_text("/a/b.png\n")
    tree.out.mkdir()

    def problems_after(number: int) -> list[str]:
        (tmp_path / "log").write_text(f"{number} of 9 images were finished by an earlier run\n")
        return problems_of(tree, known)

    assert problems_after(8) == []
    assert problems_after(3) == ["8 finished images, then only 3"]
    (tree.out / "result.tsv").write_text("/a/b.png\t1\n")
    assert problems_after(8) == []
    assert problems_after(3) == ["8 finished images, then only 3"]
    (tree.out / "monitor.txt").write_text(f"{TASK_ID}\t1.0\t1.0000\t2\t0\tdone\n")
    assert problems_after(8) == []
    assert problems_after(3) == []


def test_every_named_test_exists():
    named = {test for faults in GROUPS.values() for fault in faults for test in fault.tests}
    assert [test for test in sorted(named) if not outcomes._exists(test)] == []


def test_outcomes(tmp_path: Path):
    (tmp_path / "junit.xml").write_text(
        '<testsuites><testsuite><testcase file="tests/a.py" name="test_x[1]"/>'
        '<testcase file="tests/a.py" name="test_y"><skipped message="no engine"/></testcase>'
        '<testcase file="tests/b.py" name="test_z"><failure message="E"/></testcase>'
        "</testsuite></testsuites>"
    )
    found = read_junit(tmp_path / "junit.xml")
    assert found[0] == Outcome("tests/a.py", "test_x", "passed")
    assert observed(["tests/a.py"], found) == "as expected (1 tests); 1 skipped: no engine"
    assert observed(["tests/a.py::test_y"], found) == "not tried here; 1 skipped: no engine"
    assert observed(["tests"], found) == "**FAILED: test_z**"
    assert observed(["tests/c.py"], found) == "**not run: tests/c.py**"
