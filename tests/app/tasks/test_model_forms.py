"""Exported forms join the best stage; their faults cost nothing."""

import logging
from pathlib import Path

import pytest
import yaml

from app.engine.errors import ExportError
from app.tasks import model_forms
from executor.env import OutputPaths
from executor.hyperparameters import TrainHyperparameters
from executor.model_stages import ModelStages


@pytest.fixture
def stages(tmp_path):
    made = ModelStages(OutputPaths(root_dir=tmp_path))
    for name, ap in (("good", 0.8), ("bad", 0.1)):
        weights = made.folder(name) / "model.pth"
        weights.write_bytes(b"weights")
        made.add(name, [weights], mAP=ap, timestamp=7, tp=3)
    return made


def add(stages, forms):
    model_forms.add_forms(stages, forms, train_records=[], val_records=[], num_workers=0)


def test_files_join_the_best_stage_and_nothing_else_changes(stages, tmp_path, monkeypatch):
    def export(form, _stages, _best, directory, *_args):
        (directory / f"model.{form}").write_text(form)
        return [directory / f"model.{form}"]

    monkeypatch.setattr(model_forms, "_export", export)
    add(stages, ["onnx", "int8"])
    result = yaml.safe_load((tmp_path / "models/result.yaml").read_text())
    good = result["model_stages"]["good"]
    assert good["files"] == ["model.pth", "model.onnx", "model.int8"]
    assert (good["mAP"], good["timestamp"], good["tp"]) == (0.8, 7, 3)
    assert result["model_stages"]["bad"]["files"] == ["model.pth"]
    assert (tmp_path / "models/good/model.int8").read_text() == "int8"
    assert not list(Path(tmp_path / "models").glob(".export-*"))


@pytest.mark.parametrize("error", [ExportError("too much AP is lost"), RuntimeError("a defect")])
def test_what_fails_is_a_warning(stages, tmp_path, monkeypatch, caplog, error):
    before = (tmp_path / "models/result.yaml").read_text()

    def export(*_args):
        raise error

    monkeypatch.setattr(model_forms, "_export", export)
    with caplog.at_level(logging.WARNING):
        add(stages, ["int8"])
    assert "export" in caplog.text
    assert (tmp_path / "models/result.yaml").read_text() == before


def test_nothing_is_done_unasked(stages, monkeypatch):
    monkeypatch.delattr(model_forms, "_export")
    add(stages, [])


@pytest.mark.parametrize(
    ("text", "forms"), [("none", ()), ("onnx", ("onnx",)), ("int8, onnx", ("onnx", "int8"))]
)
def test_export_lists_forms(text, forms):
    assert TrainHyperparameters(class_names=("ant",), export=text).export_forms == forms


@pytest.mark.parametrize("text", ["tflite", "none,onnx", "onnx,,int8"])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match="not a list of forms"):
        TrainHyperparameters(class_names=("ant",), export=text)
