"""8-bit files: smaller, measured, and refused when they lose too much."""

import json
import shutil
from dataclasses import replace

import onnx
import pytest

from app.engine.errors import ConfigError, ExportError
from app.engine.export import EXPORTERS, int8
from app.engine.export._quantize import last_convolutions, network_nodes
from app.engine.predictor import OnnxPredictor
from app.engine.structures.sample import ImageRecord


@pytest.fixture
def labelled(job, onnx_file, photographs):
    """The job with what the float model finds surely as the truth."""
    predictor, records = OnnxPredictor(onnx_file), []
    for number, (path, found) in enumerate(predictor.detect_files(photographs)):
        records.append(
            ImageRecord(path, *found.image_size, found.boxes[:5], found.classes[:5], number)
        )
    return replace(job, validation=records)


def test_only_the_network_is_quantised(onnx_file):
    model = onnx.load(onnx_file)
    nodes = {node.name: node.op_type for node in model.graph.node}
    convolutions = [name for name, kind in nodes.items() if kind == "Conv"]
    assert set(convolutions) <= set(network_nodes(model))
    assert len(last_convolutions(model)) == 2 * 2  # scores and boxes of two levels


def test_the_loss_of_ap_is_written_beside_the_file(labelled, monkeypatch):
    monkeypatch.setattr(int8, "MAX_AP_LOSS", 100.0)
    path, report = EXPORTERS["int8"](labelled)
    accuracy = json.loads(report.read_text())
    assert accuracy["ap_fp32"] - accuracy["ap_int8"] == pytest.approx(accuracy["ap_loss"], abs=2e-3)
    assert (accuracy["validation_images"], accuracy["calibration_images"]) == (3, 3)
    predictor = OnnxPredictor(path)
    assert predictor.card.precision == "int8"
    assert predictor.card.accuracy == accuracy
    assert any(t.data_type == onnx.TensorProto.INT8 for t in onnx.load(path).graph.initializer)
    (_, found), *_ = predictor.detect_files(labelled.images)
    assert len(found) == 20


def test_a_file_that_loses_too_much_is_not_kept(labelled, onnx_file, monkeypatch, tmp_path):
    # Made of the same weights: not made again.
    shutil.copyfile(onnx_file, tmp_path / onnx_file.name)
    answers = iter([50.0, 40.0, 41.0, 48.9])
    monkeypatch.setattr(int8, "average_precision", lambda *_args, **_kwargs: next(answers))
    monkeypatch.setattr(
        int8, "quantized", lambda source, target, *_args, **_kwargs: shutil.copyfile(source, target)
    )
    with pytest.raises(ExportError, match=r"cost 1.1 points of AP on 3 validation images"):
        EXPORTERS["int8"](replace(labelled, directory=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [onnx_file.name]


def test_labelled_images_are_needed(job):
    with pytest.raises(ConfigError, match="labelled images"):
        EXPORTERS["int8"](job)
