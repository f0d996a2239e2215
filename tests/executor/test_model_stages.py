import errno
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from executor.env import Dialect, OutputPaths
from executor.errors import OutputError
from executor.model_stages import MAX_STAGES, ModelStages, compiled_patterns, stage_name


def written(output: OutputPaths) -> dict[str, Any]:
    """result.yaml, checked as the platform checks it."""
    content = yaml.safe_load(output.training_result_file.read_text())
    stages = content["model_stages"]
    assert 1 <= len(stages) <= MAX_STAGES
    assert content["best_stage_name"] in stages
    for name, stage in stages.items():
        assert name == stage["stage_name"]
        assert name.isidentifier()
        assert 0 <= stage["mAP"] <= 1
        assert isinstance(stage["timestamp"], int)
        assert stage["files"]
        for file in stage["files"]:
            assert (output.models_dir / name / file).is_file()
    assert all(isinstance(value, float) for value in content["evaluate_config"].values())
    return content


@pytest.fixture
def put(output: OutputPaths) -> Callable[..., Path]:
    """Makes a file of a stage."""

    def make(stages: ModelStages, name: str, file: str = "model.pth", text: str = "w") -> Path:
        path = stages.folder(name) / file
        path.write_text(text)
        return path

    return make


def test_a_valid_file_after_every_stage(output: OutputPaths, put):
    stages = ModelStages(output)
    for index, ap50 in enumerate([0.2, 0.6, 0.4]):
        name = f"model_{index}"
        files = [put(stages, name), put(stages, name, "config.yaml")]
        stages.add(name, files, mAP=ap50, mAR=0.5, tp=3, fp=1, fn=2, timestamp=100 + index)
        content = written(output)
        assert list(content["model_stages"])[-1] == name
    assert content["best_stage_name"] == "model_1"
    assert content["mAP"] == 0.6
    assert "model" not in content
    assert content["model_stages"]["model_1"] == {
        "stage_name": "model_1",
        "files": ["model.pth", "config.yaml"],
        "timestamp": 101,
        "mAP": 0.6,
        "mAR": 0.5,
        "tp": 3,
        "fp": 1,
        "fn": 2,
    }


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        pytest.param({"mAP": math.nan}, {"mAP": 0.0}, id="NaN"),
        pytest.param({"mAP": 1.2, "mAR": -1.0}, {"mAP": 1.0, "mAR": 0.0}, id="out of range"),
        pytest.param(
            {"mAP": 0.5, "tp": 3.9, "fn": -1}, {"mAP": 0.5, "tp": 3, "fn": 0}, id="counts"
        ),
        pytest.param({"mAP": 0.5, "mAR": None}, {"mAP": 0.5}, id="unknown"),
        pytest.param({"mAP": 0, "maskAP": 0.5}, {"mAP": 0.0, "maskAP": 0.5}, id="masks"),
    ],
)
def test_metrics_that_the_platform_would_refuse(output: OutputPaths, put, metrics, expected):
    stages = ModelStages(output)
    stage = stages.add("a", [put(stages, "a")], **metrics)
    assert stage.metrics == expected
    written(output)


def test_equals_go_to_the_later(output: OutputPaths, put):
    stages = ModelStages(output)
    for index in range(3):
        stages.add(f"s{index}", [put(stages, f"s{index}")], mAP=0.0, timestamp=index)
    assert written(output)["best_stage_name"] == "s2"


def test_the_last_of_equals_is_best_within_a_second_too(output: OutputPaths, put):
    stages = ModelStages(output)
    for name in ("first", "last"):
        stages.add(name, [put(stages, name)], mAP=0.0, timestamp=7)
    assert written(output)["best_stage_name"] == "last"


def test_the_oldest_but_never_the_best_is_dropped(output: OutputPaths, put):
    stages = ModelStages(output, max_stages=3)
    for index in range(6):
        stages.add(f"s{index}", [put(stages, f"s{index}")], mAP=0.9 if index == 1 else 0.1)
        written(output)
    kept = ["s1", "s4", "s5"]
    assert list(written(output)["model_stages"]) == kept
    assert sorted(path.name for path in output.models_dir.iterdir()) == ["result.yaml", *kept]


def test_a_stage_written_again_is_replaced(output: OutputPaths, put):
    stages = ModelStages(output)
    stages.add("last", [put(stages, "last")], mAP=0.9)
    stages.add("best", [put(stages, "best")], mAP=0.5)
    stages.add("last", [put(stages, "last")], mAP=0.1)
    assert list(written(output)["model_stages"]) == ["best", "last"]
    assert stages.best is not None
    assert stages.best.name == "best"


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        pytest.param("", ["model.pth", "config.yaml", "model.onnx"], id="all"),
        pytest.param(r"\.pth$, \.yaml$", ["model.pth", "config.yaml"], id="two patterns"),
        pytest.param("onnx,*bad", ["model.onnx"], id="a bad pattern is skipped"),
        pytest.param("nothing", ["model.pth", "config.yaml", "model.onnx"], id="nothing matches"),
    ],
)
def test_file_patterns(output: OutputPaths, put, patterns: str, expected: list[str]):
    stages = ModelStages(output, file_patterns=patterns)
    files = [put(stages, "a", name) for name in ("model.pth", "config.yaml", "model.onnx")]
    assert list(stages.add("a", files, mAP=0.5).files) == expected
    assert stages.leaves_out("config.yaml") == (patterns in ("onnx,*bad", "nothing"))


def test_bad_patterns_are_told(caplog: pytest.LogCaptureFixture):
    assert [pattern.pattern for pattern in compiled_patterns("a, ,*b")] == ["a"]
    assert "'*b' is skipped" in caplog.text


def test_the_oldest_dialect(output: OutputPaths, put):
    stages = ModelStages(output, dialect=Dialect.FLAT)
    for name, ap50 in (("good", 0.7), ("bad", 0.2)):
        files = [put(stages, name, text=name), put(stages, name, "config.yaml")]
        stages.add(name, files, mAP=ap50)
    content = written(output)
    assert content["model"] == ["model.pth", "config.yaml"]
    assert content["map"] == 0.7
    assert (output.models_dir / "model.pth").read_text() == "good"


def test_resume(output: OutputPaths, put):
    stages = ModelStages(output)
    for name in ("a", "b", "c"):
        stages.add(name, [put(stages, name)], mAP=0.5, tp=2, timestamp=5)
    (output.models_dir / "b" / "model.pth").unlink()
    again = ModelStages.resume(output)
    assert [stage.name for stage in again.stages] == ["a", "c"]
    assert again.stages[0] == stages.stages[0]


@pytest.mark.parametrize(
    "content",
    ["", "a: [", "model_stages: {a: {}}", "model_stages: 3", "\0", "a: " + "[" * 5000 + "]" * 5000],
)
def test_resume_from_something_else(output: OutputPaths, content: str):
    output.training_result_file.write_text(content)
    assert ModelStages.resume(output).stages == ()


def test_stages_that_the_storage_does_not_show_are_not_given_up(
    output: OutputPaths, put, monkeypatch: pytest.MonkeyPatch
):
    stages = ModelStages(output)
    stages.add("one", [put(stages, "one")], mAP=0.5)

    def stale(path: Path) -> bool:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "is_file", stale)
    with pytest.raises(OutputError, match=r"model\.pth"):
        ModelStages.resume(output)


def test_resume_from_nothing(output: OutputPaths):
    assert ModelStages.resume(output).best is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("best", "best", id="as it is"),
        pytest.param("model-0001", "model_0001", id="dash"),
        pytest.param("0001", "stage_0001", id="digits"),
        pytest.param("", "stage_", id="empty"),
        pytest.param("../a@b:c\nd", "___a_b_c_d", id="dangerous"),
        pytest.param("attachments", "stage_attachments", id="reserved"),
        pytest.param("größe", "gr__e", id="letters"),
    ],
)
def test_stage_names(text: str, expected: str):
    assert stage_name(text) == expected
    assert stage_name(text).isidentifier()


TRAINER = """
import sys
from executor.env import OutputPaths
from executor.model_stages import ModelStages
stages = ModelStages(OutputPaths(root_dir=sys.argv[1]), max_stages=2)
for index in range(100000):
    name = f"s{index}"
    file = stages.folder(name) / "model.pth"
    file.write_text("w" * 1000)
    stages.add(name, [file], mAP=(index * 7919 % 100) / 100)
"""


def test_kills_leave_a_valid_result(output: OutputPaths):
    rng = random.Random(1)
    for _ in range(4):
        command = [sys.executable, "-c", TRAINER, str(output.root_dir)]
        trainer = subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "error"})
        deadline = time.monotonic() + 20
        while not output.training_result_file.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2 + 0.2 * rng.random())
        assert trainer.poll() is None
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
        written(output)
