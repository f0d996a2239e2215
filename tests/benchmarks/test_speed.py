"""Records of measurements, the page made from them, and the names of engines."""

import sys
from argparse import Namespace
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image

from benchmarks.speed import (
    cost_growth,
    data,
    data_worker,
    evaluation,
    evaluation_worker,
    images,
    records,
    report,
    throughput,
    train_engines,
)
from benchmarks.speed.engines import KINDS, EngineSpec, Workload
from benchmarks.speed.infer import _difference
from benchmarks.speed.side_by_side import ended_at_last, start
from benchmarks.speed.throughput import _cpu_clock
from benchmarks.speed.train_batch import make_batch
from verification import json_lines
from verification.launches.fake_gpu import fake_gpu


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ours", ("ours", "fp32", True, sys.executable), id="ours comes tuned"),
        pytest.param("ours:bf16-malloc", ("ours", "bf16", False, sys.executable), id="untuned"),
        pytest.param("d2=/venv/python", ("d2", "fp32", False, "/venv/python"), id="own python"),
        pytest.param("d2+malloc=/x", ("d2", "fp32", True, "/x"), id="tuned anchor"),
    ],
)
def test_engine_names(text, expected):
    spec = EngineSpec.parse(text, KINDS)
    assert (spec.kind, spec.precision, spec.malloc, spec.python) == expected


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        pytest.param("", KINDS, id="nothing"),
        pytest.param("yolo", KINDS, id="of another house"),
        pytest.param("d2:fp32+huge", KINDS, id="unknown setting"),
        pytest.param("onnx", train_engines.MODULES, id="one that cannot train"),
    ],
)
def test_unknown_engines_are_refused(text, kinds):
    with pytest.raises(ValueError, match="no engine"):
        EngineSpec.parse(text, kinds)


def test_a_worker_answers_until_it_is_asked_to_end(tmp_path):
    image = tmp_path / "grey.png"
    Image.new("RGB", (48, 32), (90, 90, 90)).save(image)
    spec = EngineSpec.parse("ours", data_worker.READERS)
    arguments = ["ours", "64", "96", str(image)]
    with ended_at_last([start(spec, "data_worker", arguments, threads=1)]) as (worker,):
        assert worker.answer()["rss_mb"] > 0
        run = worker.ask("run")
        assert min(run["wall_s"], run["cpu_s"], run["rss_mb"]) > 0
        worker.ask(f"save {tmp_path / 'pixels'}")
        assert np.load(tmp_path / "pixels/00000.npy").shape == (64, 96, 3)
        with pytest.raises(RuntimeError, match="ended"):
            worker.ask("end")


def test_config_files_are_found():
    assert Workload("mask_rcnn_R_50_FPN_1x", 800, 1333, 2).file == (
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


def test_the_two_speed_ups_of_a_record_agree():
    """By rounds and by medians: where a run was disturbed, they do not."""
    found = records.newest(records.load([records.RECORDS]))
    for record in found:
        if record["kind"] in ("inference", "training"):
            medians = [engine["median_s"] for engine in record["engines"]]
            speedups = [engine["speedup"] for engine in record["engines"]]
            assert speedups == pytest.approx([medians[0] / m for m in medians], rel=0.2), record


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


def test_a_batch_is_resized_and_labelled(tmp_path):
    Image.fromarray(np.zeros((40, 60, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    first, second = make_batch([tmp_path / "a.png"], batch=2, short=20, max_size=24)
    assert first.pixels.shape == second.pixels.shape == (16, 24, 3)
    assert len(first.boxes) == len(first.classes) == len(first.polygons) == 5
    assert (second.boxes <= [24, 16, 24, 16]).all()
    assert len(second.polygons[0]) == 24


def test_growth_of_the_images_appears_on_the_page(tmp_path):
    run = {"task": "infer", "cpu_s": 8.0, "peak_pss_mb": 400, "peak_rss_mb": 900, "result_mb": 1.5}
    for lines in (1000, 20_000):
        json_lines.append(tmp_path / "runs.jsonl", run | {"lines": lines})
    (content,) = images.contents(Namespace(runs=tmp_path / "runs.jsonl"))
    records.append(tmp_path / "r.jsonl", images.KIND, content)
    page = report.page(records.load([tmp_path / "r.jsonl"]))
    assert "| infer | 1,000 | 8.0 | 8.00 | 400 | 900 | 1.5 |" in page
    assert "| infer | 20,000 | 8.0 | 0.40 | 400 | 900 | 1.5 |" in page


def test_training_appears_on_the_page(tmp_path):
    engine = {
        "label": "ours",
        "median_s": 2.0,
        "speedup": 1.5,
        "speedup_low": 1.4,
        "speedup_high": 1.6,
        "cpu_speedup": 1.5,
        "cpu_s": 3.0,
        "rss_mb": 10.0,
        "losses": {"loss_cls": 0.5},
    }
    content = {"key": 1, "config": "x", "batch": 2, "short": 8, "threads": 1, "rounds": 3}
    records.append(tmp_path / "r.jsonl", "training", content | {"engines": [engine]})
    page = report.page(records.load([tmp_path / "r.jsonl"]))
    assert "| ours | 2.00 | **1.50** (1.40-1.60) | 1.50 | 3.0 | 10 | loss_cls 0.5000 |" in page


def test_ways_of_evaluation_agree(tmp_path):
    path = tmp_path / "arrays.npz"
    evaluation.make(path, 12)
    with np.load(path) as file:
        arrays = dict(file)
    assert len(arrays["scores"]) == 12 * evaluation.DETECTIONS
    stats, classes = zip(
        *(evaluation_worker.WAYS[kind](arrays)()() for kind in ("ours", "pycocotools")),
        strict=True,
    )
    np.testing.assert_allclose(stats[0], stats[1], atol=1e-12)
    known = np.array(classes[1]) > -1
    np.testing.assert_allclose(np.array(classes[0])[known], classes[1][known], atol=1e-12)


@pytest.mark.parametrize(
    ("work", "device"),
    [
        pytest.param("inference", "cpu", id="inference"),
        pytest.param("training", "cpu", id="training"),
        pytest.param("inference", "cuda:0", id="inference on a fake GPU"),
    ],
)
def test_throughput_is_images_by_the_time_of_a_call(work, device, tmp_path, monkeypatch):
    for name, value in {"_WARM_UP_S": 0.0, "_MEASURED_S": 0.0, "_MATRIX": 64}.items():
        monkeypatch.setattr(throughput, name, value)
    image = tmp_path / "grey.png"
    Image.new("RGB", (48, 32), (90, 90, 90)).save(image)
    job = throughput.Job(Workload("retinanet_R_50_FPN_1x", 64, 96, 1), work, device, "bf16")
    with ExitStack() as stack:
        if device != "cpu":
            stack.enter_context(fake_gpu())
            # The fake has no clock.
            monkeypatch.setattr(throughput, "_gpu_clock", lambda _, call: _cpu_clock(call))
        content = throughput.measure(job, [image], [1, 2])
    assert content["columns"][:4] == ["batch", "engine", "images/s", "ms"]
    assert [row[:2] for row in content["rows"]] == [
        [batch, engine] for batch in (1, 2) for engine in ("torchvision", "ours")
    ]
    for batch, _, images_per_s, milliseconds, *_ in content["rows"]:
        assert float(images_per_s) * float(milliseconds) == pytest.approx(1000 * batch, rel=0.1)


def test_growth_is_the_steepest_exponent():
    points = [(0, 1.0), (1, 1.0), (10, 10.0), (20, 40.0)]
    assert cost_growth._steepest(points, least=0.1) == pytest.approx(2)


def test_pixel_differences_are_counted(tmp_path):
    for name, value in (("one", 10), ("other", 12)):
        (tmp_path / name).mkdir()
        pixels = np.full((2, 2, 3), 10, dtype=np.uint8)
        pixels[0, 0, 0] = value
        np.save(tmp_path / name / "00000.npy", pixels)
    assert data._gap(tmp_path / "one", tmp_path / "other") == ("2", "8.33 %")
