"""Models of a training become stages."""

from pathlib import Path

import pytest

from app.engine.checkpoint.saved_model import SavedModel
from app.tasks.train import _stage_writer
from executor.env import OutputPaths
from executor.model_stages import ModelStages


@pytest.fixture
def stages(tmp_path: Path) -> ModelStages:
    for name in ("models", "tensorboard"):
        (tmp_path / name).mkdir()
    return ModelStages(OutputPaths(root_dir=tmp_path, models_dir=tmp_path / "models"))


def test_a_model_without_numbers_never_replaces_the_same_one_with_numbers(
    stages: ModelStages, tmp_path: Path
) -> None:
    weights, config = tmp_path / "model.pth", tmp_path / "config.yaml"
    publish = _stage_writer(stages, 2, lambda saved, _: f"{saved.iteration}")
    for metrics, iteration in (({"bbox/AP50": 24.0}, 20), ({}, 20), ({}, 25)):
        weights.write_bytes(b"weights")
        config.write_text("config")
        publish(SavedModel("last", iteration, weights, config, metrics))
    assert {stage.name: stage.metrics["mAP"] for stage in stages.stages} == {
        "iter_0000020": 0.24,
        "iter_0000025": 0.0,
    }
