"""Records of measurements, the page made of them, and the names of engines."""

import pytest

from benchmarks.speed import records, report
from benchmarks.speed.engines import EngineSpec, Task
from benchmarks.speed.infer import _difference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ours", ("ours", "fp32", True, "python"), id="ours comes tuned"),
        pytest.param("ours:bf16-malloc", ("ours", "bf16", False, "python"), id="untuned"),
        pytest.param("d2=/venv/python", ("d2", "fp32", False, "/venv/python"), id="own python"),
        pytest.param("d2+malloc=/x", ("d2", "fp32", True, "/x"), id="tuned anchor"),
    ],
)
def test_engine_names(text, expected):
    spec = EngineSpec.parse(text, default_python="python")
    assert (spec.kind, spec.precision, spec.malloc, spec.python) == expected


@pytest.mark.parametrize("text", ["", "yolo", "d2:fp32+huge"])
def test_unknown_engines_are_refused(text):
    with pytest.raises(ValueError, match="no engine"):
        EngineSpec.parse(text, default_python="python")


def test_config_files_are_found():
    assert Task("mask_rcnn_R_50_FPN_1x", 800, 1333, 2).file == (
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
    )


def test_the_newest_record_of_each_thing_counts(tmp_path):
    path = tmp_path / "records.jsonl"
    for value in (1, 2):
        for key in ("a", "b"):
            content = {"key": key, "title": key, "columns": ["x"], "rows": [[f"{key}{value}"]]}
            records.append(path, "thing", content)
    page = report.page(records.load([path]))
    assert "| a2 |" in page
    assert "| b2 |" in page
    assert "a1" not in page
    assert "cores" in page


def test_differences_are_of_the_nearest_box_of_the_same_class():
    expected = {
        "boxes": [[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]],
        "scores": [0.9, 0.8, 0.7],
        "classes": [1, 2, 1],
    }
    found = {
        "boxes": [[0, 0, 10, 10.5], [0, 0, 10, 10]],
        "scores": [0.75, 0.9],
        "classes": [2, 1],
    }
    assert _difference(found, expected) == {
        "detections": 2,
        "matched": 2,
        "largest_score_gap": pytest.approx(0.05),
        "largest_box_gap": 0.5,
    }
    empty = {"boxes": [], "scores": [], "classes": []}
    assert _difference(empty, expected)["matched"] == 0
    assert _difference(found, empty)["matched"] == 0
