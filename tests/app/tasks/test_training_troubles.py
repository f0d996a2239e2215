"""Trainings that lack memory or images, or diverge: their messages, and what a second run does."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.engine.export import EXPORTERS
from app.engine.training.summary import TrainSummary
from app.engine.training.validation.outcome import Failure
from app.tasks.__main__ import run_tasks
from app.tasks.failures import told
from app.tasks.train import _how_good
from executor.errors import DatasetError, DivergedError, ExecutorError, OutOfMemoryError
from executor.model_stages import Stage


@pytest.fixture
def trained(tree: Any, train_settings: dict[str, Any]) -> Any:
    """Trains with other settings as asked; gives the error that a user would read, if any."""
    tree.write_env(run_training=True)

    def train(**settings: Any) -> ExecutorError | None:
        tree.write_config(**{**train_settings, **settings})
        try:
            run_tasks(tree.env, lambda _fraction: None)
        except Exception as error:
            return told(error)
        return None

    return train


def result_of(tree: Any) -> dict[str, Any]:
    result: dict[str, Any] = yaml.safe_load((tree.out / "models/result.yaml").read_text())
    for name, stage in result["model_stages"].items():
        assert all((tree.out / "models" / name / file).is_file() for file in stage["files"])
    return result


def damage(path: Path) -> None:
    """A PNG whose header and end are whole and whose pixels are not."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("app.engine.evaluation.inference.detect", id="evaluation"),
        pytest.param(
            "app.engine.training.validation.validator.summed_losses", id="validation losses"
        ),
        pytest.param("app.engine.evaluation.coco.CocoEvaluator.results", id="metrics"),
        pytest.param("app.tasks.model_forms._load", id="export"),
    ],
)
def test_want_of_memory_beside_the_training_ends_it_as_such(
    tree: Any, trained: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any, place: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    def export(job: Any) -> list[Path]:
        (job.directory / "model.onnx").write_text("a graph")
        return [job.directory / "model.onnx"]

    monkeypatch.setitem(EXPORTERS, "onnx", export)
    monkeypatch.setattr("app.engine.training.loop.hooks.losses_are_finite", lambda *_, **__: True)
    with monkeypatch.context() as short:
        short.setattr(place, refuse)
        error = trained(export="onnx")
    assert isinstance(error, OutOfMemoryError)
    assert error.exit_status == 6
    assert "memory ran out" in str(error)
    assert "trained and kept" in str(error)
    assert "SOLVER" not in str(error)
    assert "image_size" in str(error) or "leave export empty" in str(error)
    assert result_of(tree)["best_stage_name"] == "iter_0000002"
    caplog.set_level("INFO")
    assert trained(export="onnx") is None  # with more memory, on the same /out
    assert "mAP 0." in caplog.messages[-1]
    files = result_of(tree)["model_stages"]["iter_0000002"]["files"]
    assert "model.onnx" in files


def test_an_evaluation_that_breaks_is_no_map(
    tree: Any, trained: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def break_(*_: object, **__: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr("app.engine.training.validation.validator.run_inference", break_)
    caplog.set_level("INFO")
    assert trained() is None
    assert caplog.messages[-1].endswith(
        "best model: iter_0000002, not evaluated (KeyError: 'a fault')"
    )
    assert result_of(tree)["mAP"] == 0.0  # platforms ask for a number


@pytest.mark.parametrize(
    ("damaged", "end"),
    [
        pytest.param([6], r" over 1 of 2 validation images", id="one"),
        pytest.param(
            [7], r"mAP not defined, since the validation images have no", id="with objects"
        ),
        pytest.param([6, 7], r"not evaluated (none of the 2 images to evaluate on", id="all"),
    ],
)
def test_validation_images_that_cannot_be_decoded(
    tree: Any, trained: Any, caplog: Any, damaged: list[int], end: str
) -> None:
    for number in damaged:
        damage(tree.root / f"in/assets/{number}.png")
    caplog.set_level("INFO")
    assert trained() is None
    assert end in caplog.messages[-1]


def test_training_images_that_cannot_be_decoded(tree: Any, trained: Any, caplog: Any) -> None:
    damage(tree.root / "in/assets/0.png")
    assert trained(max_iter=4) is None
    (line,) = [text for text in caplog.messages if "could not be read and others" in text]
    assert line.startswith("training set: 1 of 6 images could not be read")
    assert "0.png" in line
    damage(tree.root / "in/assets/1.png")
    error = trained(max_iter=12)
    assert isinstance(error, DatasetError)
    assert "2 of 6 images, more than 5 %" in str(error)


def test_the_advice_after_a_divergence_helps(tree: Any, trained: Any, caplog: Any) -> None:
    options = "MODEL.WEIGHTS '' SOLVER.OPTIMIZER SGD SOLVER.CLIP_GRADIENTS.ENABLED False"
    error = trained(learning_rate=100, max_iter=6, args_options=options)
    assert isinstance(error, DivergedError)
    assert "lower learning_rate (100.0)" in str(error)
    assert "BASE_LR" not in str(error)
    caplog.set_level("INFO")
    assert trained(learning_rate=1e-4, max_iter=6, args_options=options) is None
    assert "finished after 6 iterations" in caplog.messages[-1]
    stage = tree.out / "models" / result_of(tree)["best_stage_name"]
    assert yaml.safe_load((stage / "config.yaml").read_text())["SOLVER"]["BASE_LR"] == 1e-4


EVALUATED = {"mAP": 0.5, "tp": 1, "fp": 0, "fn": 1}


@pytest.mark.parametrize(
    ("metrics", "failure", "num_validated", "num_images", "expected"),
    [
        pytest.param(EVALUATED, None, 6, 6, "mAP 0.5000", id="whole"),
        pytest.param(EVALUATED, None, 3, 6, "mAP 0.5000 over 3 of 6 validation images", id="part"),
        pytest.param(EVALUATED, None, 0, 6, "mAP 0.5000", id="by an earlier run"),
        pytest.param(
            EVALUATED,
            Failure("x"),
            0,
            6,
            "mAP 0.5000 (the final model: not evaluated, x)",
            id="of an earlier model",
        ),
        pytest.param({"mAP": 0.0}, None, 0, 0, "not validated", id="no validation set"),
        pytest.param({"mAP": 0.0}, Failure("x"), 0, 6, "not evaluated (x)", id="failed"),
        pytest.param({"mAP": 0.0}, None, 0, 6, "not evaluated", id="failed in an earlier run"),
        pytest.param(
            {"mAP": 0.0, "tp": 0, "fp": 3, "fn": 0},
            None,
            6,
            6,
            "mAP not defined, since the validation images have no objects",
            id="no objects",
        ),
    ],
)
def test_the_last_line_says_how_good_the_model_is(
    metrics: dict[str, float],
    failure: Failure | None,
    num_validated: int,
    num_images: int,
    expected: str,
) -> None:
    stage = Stage("a", (), 0, metrics)
    summary = TrainSummary(6, False, failure=failure, num_validated=num_validated)
    assert _how_good(stage, summary, num_images=num_images) == expected
