"""Our numbers against pycocotools', and data sets without objects or detections."""

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from app.engine.errors import ConfigError
from app.engine.evaluation.coco import CocoEvaluator, coco_dataset
from app.engine.structures.detections import Detections


def oracle(records, detections, class_names, iou_type, *, max_detections=100):
    """pycocotools on the same objects, through the JSON forms that it documents."""
    gt = COCO()
    source = coco_dataset(records, class_names, iou_type=iou_type, num_keypoints=17).dataset
    gt.dataset = {key: [dict(item) for item in value] for key, value in source.items()}
    rows = []
    for image_id, found in enumerate(detections, start=1):
        for i in range(len(found)):
            x0, y0, x1, y1 = found.boxes[i].double().tolist()
            row = {
                "image_id": image_id,
                "category_id": int(found.classes[i]) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "score": float(found.scores[i]),
            }
            if iou_type == "segm":
                from pycocotools import mask

                bits = np.asfortranarray(found.masks[i].numpy().astype(np.uint8))
                row["segmentation"] = mask.encode(bits)
                del row["bbox"]
            if iou_type == "keypoints":
                points = found.keypoints[i].double().numpy() - [0.5, 0.5, 0]
                row["keypoints"] = points.ravel().tolist()
            rows.append(row)
    with contextlib.redirect_stdout(io.StringIO()):
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(rows), iou_type)
        if iou_type != "keypoints":
            evaluation.params.maxDets = [1, min(10, max_detections), max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def mean(values):
    return values[values > -1].mean() * 100 if (values > -1).any() else math.nan


def evaluate(records, detections, class_names, **options):
    evaluator = CocoEvaluator(records, class_names, **options)
    for record, found in zip(records, detections, strict=True):
        evaluator.add(record, found)
    return evaluator, evaluator.results()


@pytest.mark.parametrize(
    ("iou_type", "options", "max_detections"),
    [
        pytest.param("bbox", {}, 100, id="boxes"),
        pytest.param("bbox", {"crowds": False, "num_classes": 1}, 100, id="one class"),
        pytest.param("bbox", {}, 3, id="boxes, three detections for each class"),
        pytest.param("segm", {"masks": True}, 100, id="masks"),
        pytest.param("keypoints", {"num_keypoints": 17, "num_classes": 1}, 100, id="keypoints"),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_pycocotools(make_scene, iou_type, options, max_detections, seed):
    records, detections = make_scene(seed=seed, **options)
    names = [f"class {k}" for k in range(options.get("num_classes", 3))]
    precision, recall = oracle(records, detections, names, iou_type, max_detections=max_detections)
    evaluator, results = evaluate(
        records, detections, names, iou_types=[iou_type], max_detections=max_detections
    )
    row = results[iou_type]
    assert row["AP"] == pytest.approx(mean(precision[..., 0, -1]), abs=1e-9)
    assert row["AP50"] == pytest.approx(mean(precision[0, :, :, 0, -1]), abs=1e-9)
    assert row["AP75"] == pytest.approx(mean(precision[5, :, :, 0, -1]), abs=1e-9)
    letters = "ml" if iou_type == "keypoints" else "sml"
    for index, letter in enumerate(letters, start=1):
        expected = mean(precision[:, :, :, index, -1])
        assert row[f"AP{letter}"] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert evaluator.recall[iou_type] == pytest.approx(mean(recall[:, :, 0, -1]), abs=1e-9)
    if len(names) > 1:
        for k, name in enumerate(names):
            expected = mean(precision[:, :, k, 0, -1])
            assert row[f"AP-{name}"] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_perfect_detections_reach_100(make_scene):
    records, _ = make_scene(crowds=False)
    import torch

    found = [
        Detections(
            record.size,
            torch.from_numpy(record.boxes),
            torch.ones(len(record)),
            torch.from_numpy(record.classes),
        )
        for record in records
    ]
    _, results = evaluate(records, found, ["a", "b", "c"])
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["bbox"]["AP-b"] == pytest.approx(100)


def test_no_detections_is_zero_and_said(make_scene, caplog):
    records, _ = make_scene()
    _, results = evaluate(records, [Detections.empty(r.size) for r in records], ["a", "b", "c"])
    assert results["bbox"]["AP"] == 0
    assert "No predictions from the model!" in caplog.text


def test_no_objects_is_nan(make_scene):
    records, detections = make_scene(3)
    for record in records:
        record.boxes, record.classes, record.crowd = record.boxes[:0], record.classes[:0], None
    _, results = evaluate(records, detections, ["a", "b", "c"])
    assert math.isnan(results["bbox"]["AP"])


def test_no_images_is_nan():
    evaluator = CocoEvaluator([], ["a"], iou_types=["bbox", "segm"])
    assert math.isnan(evaluator.results()["segm"]["APs"])


def test_difficult_objects_neither_help_nor_hurt(make_scene):
    records, detections = make_scene(crowds=False)
    _, with_all = evaluate(records, detections, ["a", "b", "c"])
    for record in records:
        record.difficult = np.ones(len(record), dtype=bool)
    _, none_left = evaluate(records, detections, ["a", "b", "c"])
    assert with_all["bbox"]["AP"] > 0
    assert math.isnan(none_left["bbox"]["AP"])


def test_states_of_two_processes_join(make_scene):
    records, detections = make_scene()
    _, expected = evaluate(records, detections, ["a", "b", "c"])
    parts = [CocoEvaluator(records, ["a", "b", "c"]) for _ in range(2)]
    for i, (record, found) in enumerate(zip(records, detections, strict=True)):
        parts[i % 2].add(record, found)
    parts[0].merge([part.state() for part in parts])
    assert parts[0].results() == expected


def test_wrong_number_of_sigmas_is_refused(make_scene):
    records, detections = make_scene(num_keypoints=5)
    with pytest.raises(ConfigError, match="KEYPOINT_OKS_SIGMAS"):
        evaluate(records, detections, ["a", "b", "c"], iou_types=["keypoints"])


def test_tables_in_the_log(make_scene, caplog):
    caplog.set_level("INFO")
    records, detections = make_scene()
    evaluate(records, detections, ["cat", "dog", "x"])
    assert "Evaluation results for bbox: \n|   AP" in caplog.text
    assert "|:------:|" in caplog.text
    assert "Per-category bbox AP: \n| category   | AP" in caplog.text
