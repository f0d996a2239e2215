"""Exported forms are added to the best stage; a form that fails does not end the training."""

import logging
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from app.engine.errors import ExportError
from app.engine.export import EXPORTERS
from app.tasks import model_forms
from executor.env import OutputPaths
from executor.hyperparameters import TrainHyperparameters
from executor.model_stages import ModelStages
from verification.reliability.trees import save_untrained

GOOD = "stage_a"


@pytest.fixture
def stages(tmp_path):
    """A good one that is a model, and a bad one."""
    made = ModelStages(OutputPaths(root_dir=tmp_path))
    files = save_untrained(tmp_path / "models")
    assert files[0].parent == made.folder(GOOD)
    made.add(GOOD, files, mAP=0.8, timestamp=7, tp=3)
    weights = made.folder("bad") / "model.pth"
    weights.write_bytes(b"weights")
    made.add("bad", [weights], mAP=0.1, timestamp=7)
    return made


def add(stages, forms, progress=lambda _fraction: None):
    model_forms.add_forms(
        stages, forms, train_records=[], val_records=[], num_workers=0, progress=progress
    )


def test_files_join_the_best_stage_and_nothing_else_changes(stages, tmp_path, monkeypatch):
    def export(job):
        (job.directory / "model.onnx").write_text(" ".join(job.class_names))
        job.progress(0.5)
        return [job.directory / "model.onnx"]

    monkeypatch.setitem(EXPORTERS, "onnx", export)  # the real one takes a minute
    told = []
    add(stages, ["onnx", "safetensors"], told.append)
    assert told == [0.25, 0.5, 1.0]
    result = yaml.safe_load((tmp_path / "models/result.yaml").read_text())
    good = result["model_stages"][GOOD]
    assert good["files"] == ["model.pth", "config.yaml", "model.onnx", "model.safetensors"]
    assert (good["mAP"], good["timestamp"], good["tp"]) == (0.8, 7, 3)
    assert result["model_stages"]["bad"]["files"] == ["model.pth"]
    folder = tmp_path / "models" / GOOD
    assert (folder / "model.onnx").read_text() == "red box blue box"
    assert not list(Path(tmp_path / "models").glob(".export-*"))
    expected = torch.load(folder / "model.pth", weights_only=True)["model"]
    found = load_file(folder / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_a_killed_export_left_is_swept(stages, tmp_path):
    left_over = tmp_path / "models/.export-killed"
    left_over.mkdir()
    (left_over / "model.onnx").write_bytes(b"half a file")
    add(stages, ["safetensors"])
    assert not left_over.exists()


@pytest.mark.parametrize("error", [ExportError("too much AP is lost"), RuntimeError("a defect")])
def test_what_fails_is_a_warning(stages, tmp_path, monkeypatch, caplog, error):
    before = (tmp_path / "models/result.yaml").read_text()

    def export(_job):
        raise error

    monkeypatch.setitem(EXPORTERS, "int8", export)
    with caplog.at_level(logging.WARNING):
        add(stages, ["int8"])
    assert "export" in caplog.text
    assert (tmp_path / "models/result.yaml").read_text() == before


def test_a_stage_that_cannot_be_loaded_costs_nothing(stages, caplog):
    (stages.folder(GOOD) / "model.pth").write_bytes(b"cut")
    add(stages, ["safetensors"])
    assert "export: " in caplog.text
    assert stages.best.files == ("model.pth", "config.yaml")


def test_nothing_is_done_unasked(stages, monkeypatch):
    monkeypatch.delattr(model_forms, "_load")
    before = stages.best
    add(stages, [])
    assert stages.best == before


@pytest.mark.parametrize(
    ("text", "forms"), [("none", ()), ("onnx", ("onnx",)), ("int8, onnx", ("onnx", "int8"))]
)
def test_export_lists_forms(text, forms):
    assert TrainHyperparameters(class_names=("ant",), export=text).export_forms == forms


@pytest.mark.parametrize("text", ["tflite", "none,onnx", "onnx,,int8"])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match="not a list of forms"):
        TrainHyperparameters(class_names=("ant",), export=text)
