"""VOC, LVIS, proposals, semantic and panoptic numbers, on cases small enough to count by hand.

They were once compared with the original programs on random data, and were equal to rounding.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine.config import get_config
from app.engine.data.datasets.dataset import Dataset
from app.engine.errors import ConfigError, EngineError
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.evaluation.coco_results import write_coco_results
from app.engine.evaluation.evaluate import build_evaluators
from app.engine.evaluation.evaluator import flatten, log_copypaste, verify_results
from app.engine.evaluation.lvis import LvisEvaluator
from app.engine.evaluation.panoptic import PanopticEvaluator
from app.engine.evaluation.proposals import ProposalEvaluator, coverage
from app.engine.evaluation.semantic import SemanticEvaluator, borders
from app.engine.evaluation.voc import VocEvaluator, average_precision
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

SIZE = (40, 60)


def record(boxes=(), classes=(), image_id=1, **extra):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    difficult = extra.pop("difficult", None)
    made = ImageRecord(Path("a.jpg"), *SIZE, boxes, np.array(classes, np.int64), image_id)
    made.difficult = difficult
    made.extra = extra
    return made


def found(boxes=(), scores=(), classes=()):
    return Detections(
        SIZE,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(classes, dtype=torch.int64),
    )


def results(evaluator, *pairs):
    for one, detections in pairs:
        evaluator.add(one, detections)
    state = evaluator.state()
    evaluator.merge([])
    evaluator.merge([state])
    return evaluator.results()


@pytest.mark.parametrize(
    ("recall", "precision", "eleven_point", "expected"),
    [
        pytest.param([0.5, 1.0], [1.0, 1.0], False, 1.0, id="perfect, area"),
        pytest.param([0.5, 1.0], [1.0, 1.0], True, 1.0, id="perfect, eleven points"),
        pytest.param([0.5, 0.5], [1.0, 0.5], False, 0.5, id="half found, area"),
        pytest.param([0.5, 0.5], [1.0, 0.5], True, 6 / 11, id="half found, eleven points"),
        pytest.param([], [], False, 0.0, id="nothing found"),
    ],
)
def test_voc_curves(recall, precision, eleven_point, expected):
    ap = average_precision(np.array(recall), np.array(precision), eleven_point=eleven_point)
    assert ap == pytest.approx(expected)


@pytest.mark.parametrize(
    ("box", "ap50", "ap"),
    [
        pytest.param([0, 0, 10, 10], 100, 100, id="the object"),
        pytest.param([0, 0, 10, 6], 100, 20, id="IoU 0.6: right at 0.5 and 0.55"),
        pytest.param([0, 0, 6.2, 10], 100, 30, id="IoU 0.62"),
        pytest.param([0, 4, 10, 14], 0, 0, id="IoU 0.43"),
        pytest.param([11, 0, 21, 10], 0, 0, id="beside it"),
    ],
)
def test_voc_overlaps(box, ap50, ap, caplog):
    labelled = record([[0, 0, 10, 10]], [0])
    pair = (labelled, found([box], [0.9], [0]))
    caplog.set_level("INFO")
    row = results(VocEvaluator([labelled], ["a"], eleven_point=False), pair)["bbox"]
    assert "PASCAL VOC 2012" in caplog.text
    assert (row["AP50"], row["AP"]) == pytest.approx((ap50, ap))


def test_voc_difficult_and_doubles():
    # Boxes that differ by less than VOC's rounding of coordinates.
    labelled = record([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 0], difficult=np.array([False, True]))
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10.02], [20, 0, 30, 10], [40, 20, 50, 30]]
    pair = (labelled, found(boxes, [0.9, 0.8, 0.7, 0.6], [0, 0, 0, 0]))
    row = results(VocEvaluator([labelled], ["a", "b"], eleven_point=False), pair)["bbox"]
    assert row["AP-a"] == pytest.approx(100)  # found first, then only false alarms
    assert math.isnan(row["AP-b"])


def test_lvis_ignores_classes_nobody_looked_for():
    labelled = record([[0, 0, 20, 20]], [0], neg_classes=[1], not_exhaustive_classes=[])
    boxes = [[0, 0, 20, 20], [30, 0, 50, 20]]
    options = {"frequencies": ["r", "f", "c"]}
    for others_class, precision in ((1, "looked for"), (2, "not looked for")):
        pair = (labelled, found(boxes, [0.5, 0.9], [0, others_class]))
        row = results(LvisEvaluator([labelled], list("abc"), **options), pair)["bbox"]
        assert row["AP"] == pytest.approx(100), precision
        assert row["APr"] == pytest.approx(100)
        assert math.isnan(row["APc"])


def test_lvis_limit_is_for_all_classes_together():
    labelled = record([[0, 0, 20, 20]], [0], neg_classes=[1], not_exhaustive_classes=[])
    pair = (labelled, found([[30, 0, 50, 20], [0, 0, 20, 20]], [0.9, 0.5], [1, 0]))
    assert results(LvisEvaluator([labelled], ["a", "b"], max_detections=1), pair)["bbox"]["AP"] == 0


def test_lvis_without_images():
    assert math.isnan(LvisEvaluator([], ["a"]).results()["bbox"]["APf"])


def test_proposals_cover_each_object_once():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9]], np.float32)
    gt = np.array([[0, 0, 10, 10], [1, 0, 10, 10]], np.float32)
    assert sorted(coverage(boxes, gt).tolist()) == pytest.approx([81 / 99, 1.0])
    assert coverage(boxes[:0], gt).tolist() == [0, 0]


def test_proposal_recall():
    labelled = record([[0, 0, 10, 10], [20, 0, 60, 40]], [0, 1])
    pair = (labelled, found([[0, 0, 10, 10]], [3.0], [0]))
    row = results(ProposalEvaluator(), pair)["box_proposals"]
    assert row["AR@100"] == pytest.approx(50)
    assert row["ARs@1000"] == pytest.approx(100)
    assert row["ARm@100"] == 0
    assert math.isnan(row["ARl@100"])


def label_map(path: Path, labels) -> Path:
    Image.fromarray(np.array(labels, np.uint8)).save(path)
    return path


def logits(labels, num_classes=3) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), num_classes).permute(2, 0, 1).float()


def test_semantic_counts(tmp_path):
    gt = [[0, 0, 1, 1], [0, 0, 1, 255]]
    pred = [[0, 0, 0, 1], [0, 0, 1, 1]]
    one = record(sem_seg_path=label_map(tmp_path / "gt.png", gt))
    pair = (one, replace(found(), semantic=logits(pred)))
    row = results(SemanticEvaluator(["a", "b", "c"]), pair)["sem_seg"]
    assert row["IoU-a"] == pytest.approx(100 * 4 / 5)
    assert row["IoU-b"] == pytest.approx(100 * 2 / 3)
    assert math.isnan(row["IoU-c"])
    assert row["mIoU"] == pytest.approx(100 * (4 / 5 + 2 / 3) / 2)
    assert row["fwIoU"] == pytest.approx(100 * (4 / 5 * 4 + 2 / 3 * 3) / 7)
    assert row["ACC-b"] == pytest.approx(100 * 2 / 3)
    assert row["pACC"] == pytest.approx(100 * 6 / 7)
    assert row["min(IoU, B-Iou)-a"] == min(row["IoU-a"], row["BoundaryIoU-a"])


def test_semantic_of_one_labelled_pixel(tmp_path):
    one = record(sem_seg_path=label_map(tmp_path / "gt.png", [[1, 255]]))
    pair = (one, replace(found(), semantic=logits([[1, 0]])))
    row = results(SemanticEvaluator(["a", "b", "c"]), pair)["sem_seg"]
    assert (row["mIoU"], row["fwIoU"], row["pACC"]) == (100, 100, 100)


def test_semantic_without_images():
    row = SemanticEvaluator(["a"]).results()["sem_seg"]
    assert math.isnan(row["mIoU"])


def test_borders_are_as_wide_as_the_image_demands():
    labels = np.full((100, 100), 2)
    inner = borders(labels)
    assert inner[0, 0] == 2
    assert (inner[3:-3, 3:-3] == 0).all()
    assert (inner[:3] == 2).all()


def panoptic_record(path: Path, segments, info) -> ImageRecord:
    pixels = np.zeros((*np.shape(segments), 3), np.uint8)
    pixels[..., 0] = segments
    Image.fromarray(pixels).save(path)
    return record(pan_seg_path=path, segments_info=info)


def test_panoptic_quality(tmp_path):
    gt = np.zeros((10, 20), np.int64)
    gt[:, :8], gt[:, 8:14], gt[:4, 16:] = 1, 2, 3
    info = [
        {"id": 1, "category_id": 7, "iscrowd": 0},
        {"id": 2, "category_id": 20, "iscrowd": 0},
        {"id": 3, "category_id": 7, "iscrowd": 1},
    ]
    pred = np.zeros((10, 20), np.int64)
    pred[:, :6], pred[:, 8:12], pred[:4, 16:] = 1, 2, 3
    described = [
        {"id": 1, "isthing": True, "category_id": 1},
        {"id": 2, "isthing": False, "category_id": 2},  # wrong class
        {"id": 3, "isthing": True, "category_id": 1},  # in the crowd: excused
    ]
    one = panoptic_record(tmp_path / "gt.png", gt, info)
    pair = (one, replace(found(), panoptic=(torch.from_numpy(pred), described)))
    evaluator = PanopticEvaluator(thing_ids=[3, 7], stuff_ids=[20, 31])
    row = results(evaluator, pair)["panoptic_seg"]
    assert row["PQ_th"] == pytest.approx(75)  # IoU 60 / 80
    assert row["RQ_th"] == pytest.approx(100)
    assert row["PQ_st"] == 0  # one class missed, one invented
    assert row["PQ"] == pytest.approx(25)


def test_results_file(tmp_path):
    labelled = record([[0, 0, 10, 10]], [1])
    detections = replace(
        found([[1, 2, 11, 22]], [0.123456], [1]),
        masks=torch.ones(1, *SIZE, dtype=torch.bool),
        keypoints=torch.tensor([[[3.5, 4.5, 0.9]]]),
    )
    evaluator = CocoEvaluator([labelled], ["a", "b"])
    evaluator.add(labelled, detections)
    write_coco_results(tmp_path / "r.json", evaluator.images, [10, 20])
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert row["category_id"] == 20
    assert row["bbox"] == [1, 2, 10, 20]
    assert row["score"] == pytest.approx(0.123456)
    assert row["keypoints"] == pytest.approx([3, 4, 0.9])
    assert row["segmentation"]["size"] == list(SIZE)


@pytest.mark.parametrize(
    ("overrides", "dataset", "expected"),
    [
        pytest.param([], None, ["CocoEvaluator"], id="coco is the default"),
        pytest.param([], Dataset([], ["a"], evaluation="voc"), ["VocEvaluator"], id="voc"),
        pytest.param(
            [],
            Dataset([], ["a"], evaluation="lvis", frequencies=["r"]),
            ["LvisEvaluator"],
            id="lvis",
        ),
        pytest.param(
            ["MODEL.META_ARCHITECTURE", "ProposalNetwork"],
            None,
            ["ProposalEvaluator"],
            id="proposals",
        ),
        pytest.param(
            ["MODEL.META_ARCHITECTURE", "SemanticSegmentor"],
            Dataset([], [], stuff_names=["a"]),
            ["SemanticEvaluator"],
            id="semantic",
        ),
        pytest.param(
            ["MODEL.META_ARCHITECTURE", "PanopticFPN", "MODEL.MASK_ON", "True"],
            Dataset([], ["a"], [7], stuff_names=["things", "b"], stuff_ids=[20]),
            ["CocoEvaluator", "SemanticEvaluator", "PanopticEvaluator"],
            id="panoptic",
        ),
    ],
)
def test_metrics_follow_model_and_data_set(overrides, dataset, expected):
    cfg = get_config()
    cfg.merge_from_list(overrides)
    chosen = build_evaluators(cfg, [], ["a"], dataset=dataset)
    assert [type(evaluator).__name__ for evaluator in chosen] == expected
    assert getattr(chosen[0], "class_names", ["a"]) == ["a"]


def test_label_maps_are_asked_for():
    cfg = get_config()
    cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "SemanticSegmentor"])
    with pytest.raises(ConfigError, match="label maps"):
        build_evaluators(cfg, [], [])


def test_copypaste_lines(caplog):
    caplog.set_level("INFO")
    log_copypaste({"bbox": {"AP": 37.4, "AP50": math.nan, "AP-cat": 1.0}})
    assert [entry.message for entry in caplog.records] == [
        "copypaste: Task: bbox",
        "copypaste: AP,AP50",
        "copypaste: 37.4000,nan",
    ]


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        pytest.param(50.4, True, id="inside"),
        pytest.param(50.6, False, id="outside"),
        pytest.param(math.nan, False, id="undefined"),
        pytest.param(None, False, id="absent"),
    ],
)
def test_expected_results(value, fits):
    metrics = {} if value is None else flatten({"bbox": {"AP": value}})
    expected = [("bbox", "AP", 50.0, 0.5)]
    if fits:
        verify_results(expected, metrics)
    else:
        with pytest.raises(EngineError, match="bbox/AP is"):
            verify_results(expected, metrics)
