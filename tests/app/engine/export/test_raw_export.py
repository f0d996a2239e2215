"""`model.raw.onnx` finds, finished in numpy, what the engine finds."""

import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from app.engine.config import load_config
from app.engine.config.exportable import export_faults
from app.engine.errors import ExportError
from app.engine.export import EXPORTERS
from app.engine.export._finish import finish
from app.engine.export._graphs import raw_graph_of
from app.engine.export._write import with_opset
from app.engine.modeling.build import build_detector
from app.engine.structures.sample import Sample

REPOSITORY = Path(__file__).resolve().parents[4]


SSD = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "INPUT.FIXED_SIZE", "[64, 96]"),
    *("MODEL.SSD.NUM_CLASSES", "3", "MODEL.SSD_LAYERS.CHANNELS", "[32, 16, 16, 8]"),
]


def model_of(architecture, cfg):
    torch.manual_seed(0)
    if architecture == "SSD":
        cfg = load_config(REPOSITORY / "configs/SSD/ssd_mobilenetv2_300.yaml", SSD)
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.FCOS.NORM = architecture, ""
    model = build_detector(cfg).eval()
    layers = model.head.cls_score if architecture == "SSD" else [model.head.cls_score]
    for layer in layers:  # fresh scores are all alike: spread them
        torch.nn.init.normal_(layer.weight, std=0.1 if architecture == "SSD" else 0.01)
    return model


@pytest.mark.parametrize("size", [None, (64, 96)])
@pytest.mark.parametrize("architecture", ["RetinaNet", "FCOS", "SSD"])
def test_boxes_and_scores_of_all_anchors_hold_what_the_engine_finds(architecture, size, job):
    model = model_of(architecture, job.cfg.clone())
    pixels = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    pixels = torch.nn.functional.avg_pool2d(pixels.float(), 5, 1, 2).byte()
    graph = raw_graph_of(model, size)
    detector = graph.module.detector
    with torch.no_grad():
        boxes, scores = graph.module(pixels[None].float())
        everything = replace(detector.detection_filter, topk=boxes.shape[1] * 3)
        detector.detection_filter = everything
        (expected,) = detector.detect([Sample(pixels, (128, 288))])
    assert boxes.shape[:2] == scores.shape[:2]
    assert scores.shape[2] == 3
    threshold = float(expected.scores[len(expected) // 2])
    expected = expected.select(expected.scores > threshold)
    about = {
        "nms_thresh": json.dumps(everything.nms_thresh),
        "max_detections": json.dumps(everything.max_detections),
    }
    found = finish(boxes[0].numpy(), scores[0].numpy(), (64, 96), (128, 288), about, threshold)
    assert len(expected) >= 5
    rows = np.column_stack(found)
    expected_rows = np.column_stack([expected.boxes, expected.scores, expected.classes])
    # Equal scores come in any order.
    rows, expected_rows = (
        r[np.lexsort(r[:, [5, 3, 2, 1, 0]].round(1).T)] for r in (rows, expected_rows)
    )
    np.testing.assert_allclose(rows, expected_rows, atol=0.01)


def test_nothing_is_found_in_nothing():
    about = {"nms_thresh": "0.5", "max_detections": "20"}
    for number in (0, 7):
        boxes, scores = np.zeros((number, 4), np.float32), np.zeros((number, 3), np.float32)
        found = finish(boxes, scores, (64, 96), (64, 96), about)
        assert [len(values) for values in found] == [0, 0, 0]


@pytest.fixture(scope="module")
def static(job, tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    (path,) = EXPORTERS["onnx-raw"](replace(job, directory=folder, input_size=(64, 96), opset=13))
    return onnx.load(path)


def test_a_file_for_one_size(static):
    about = {entry.key: entry.value for entry in static.metadata_props}
    assert json.loads(about["input_size"]) == [64, 96]
    assert json.loads(about["agreement"])["matched"] >= 0.98
    assert static.opset_import[0].version == 13
    (images,) = static.graph.input
    assert [axis.dim_value for axis in images.type.tensor_type.shape.dim] == [1, 3, 64, 96]
    kinds = {node.op_type for node in static.graph.node}
    unwanted = {"If", "Loop", "NonMaxSuppression", "NonZero", "Range", "ScatterND", "TopK", "Where"}
    assert not kinds & unwanted


def test_a_file_for_all_sizes(job, tmp_path):
    (path,) = EXPORTERS["onnx-raw"](replace(job, directory=tmp_path))
    (images,) = onnx.load(path).graph.input
    names = [axis.dim_param or axis.dim_value for axis in images.type.tensor_type.shape.dim]
    assert names == ["N", 3, "H", "W"]


def test_sizes_and_opsets_that_cannot_be(job, static, tmp_path):
    with pytest.raises(ExportError, match=r"multiples of 32 .*choose \(64, 128\)"):
        EXPORTERS["onnx-raw"](replace(job, directory=tmp_path, input_size=(50, 100)))
    with pytest.raises(ExportError, match="opset 5"):
        with_opset(static, 5)
    assert not list(tmp_path.iterdir())


def test_two_stages_have_no_raw_form(job):
    cfg = job.cfg.clone()
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    (fault,) = export_faults(dict(cfg.leaves()), ["onnx-raw"])
    assert "GeneralizedRCNN, which cannot be exported as onnx-raw" in fault.text
    assert not list(export_faults(dict(cfg.leaves()), ["onnx"]))


def test_the_document_shows_the_function_that_finishes():
    assert inspect.getsource(finish).split('"""')[2] in (REPOSITORY / "docs/export.md").read_text()
