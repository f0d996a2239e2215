"""Cityscapes' numbers, computed by hand and by cityscapesScripts 2.3.0 on the same scenes."""

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine.config import get_config
from app.engine.data.datasets.cityscapes import (
    CLASSES,
    STUFF,
    load_cityscapes_instances,
    load_cityscapes_semantic,
)
from app.engine.evaluation.cityscapes import (
    CityscapesInstanceEvaluator,
    CityscapesSemanticEvaluator,
)
from app.engine.evaluation.evaluate import build_evaluators
from app.engine.structures.detections import Detections

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, *CLASSES)
"""Label id of each train id."""

SIZE = (96, 128)

# What cityscapesScripts answered for `scenes`.
ORACLE_SEGM = {"AP": 20.749999999999996, "AP50": 42.03125}
ORACLE_SEMANTIC = {
    "IoU": 36.86626818251877,
    "iIoU": 77.41785538020305,
    "IoU_sup": 43.88391594762516,
    "iIoU_sup": 78.81902383399351,
}


def save(root, name, *, instances=None, train_ids=None):
    """One image's files, as the data set's authors lay them out."""
    images, gt = root / "leftImg8bit/ulm", root / "gtFine/ulm"
    for folder in (images, gt):
        folder.mkdir(parents=True, exist_ok=True)
    size = np.shape(train_ids if instances is None else instances)
    Image.new("RGB", size[::-1]).save(images / f"{name}_leftImg8bit.png")
    for kind, pixels in (("instanceIds", instances), ("labelTrainIds", train_ids)):
        if pixels is not None:
            array = np.asarray(pixels, dtype=np.uint16 if kind == "instanceIds" else np.uint8)
            Image.fromarray(array).save(gt / f"{name}_gtFine_{kind}.png")
    return root / "leftImg8bit", root / "gtFine"


def found(masks, scores, classes):
    masks = torch.as_tensor(np.array(masks, dtype=bool).reshape(-1, *SIZE))
    return Detections(
        SIZE,
        torch.zeros((len(masks), 4)),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(classes, dtype=torch.int64),
        masks=masks,
    )


def scene(rng):
    """Instance ids of overlapping rectangles, and shifted, doubled and invented masks of them."""
    ids = np.full(SIZE, 7)
    ids[:20] = 23
    ids[60:70, :] = rng.choice([1, 8, 11, 29])
    rects = []
    for number in range(rng.integers(4, 12)):
        y, x = rng.integers(0, 80), rng.integers(0, 110)
        h, w = rng.integers(4, 40, size=2)
        label = int(rng.choice([24, 25, 26, 26, 27, 28, 29, 31, 32, 33]))
        ids[y : y + h, x : x + w] = label if rng.random() < 0.2 else label * 1000 + number
        rects.append((y, x, h, w, label))
    masks, scores, classes = [], [], []
    for y, x, h, w, label in rects:
        for _ in range(rng.integers(0, 3)):
            if label not in CLASSES:
                label = 26
            mask = np.zeros(SIZE, dtype=bool)
            dy, dx = rng.integers(-3, 4, size=2)
            mask[max(y + dy, 0) : y + dy + h, max(x + dx, 0) : x + dx + w] = rng.random() < 0.95
            masks.append(mask)
            scores.append(round(float(rng.random()), 1))
            classes.append(list(CLASSES).index(label))
    return ids, found(masks, scores, classes)


def scenes():
    """Six seeded scenes: names, instance ids, train ids, detections, predicted train ids."""
    rng = np.random.default_rng(5)
    for number in range(6):
        ids, detections = scene(rng)
        label_ids = np.where(ids >= 1000, ids // 1000, ids)
        train_ids = np.full(SIZE, 255)
        for train_id, label_id in enumerate(LABEL_IDS):
            train_ids[label_ids == label_id] = train_id
        pred = np.where(train_ids == 255, 2, train_ids)
        noise = rng.random(SIZE) < 0.2
        pred[noise] = rng.integers(0, len(STUFF), size=SIZE)[noise]
        yield f"ulm_{number:06}_000019", ids, train_ids, detections, pred


def semantic(pred):
    scores = torch.nn.functional.one_hot(torch.as_tensor(pred), len(STUFF)).permute(2, 0, 1)
    return replace(found([], [], []), semantic=scores.float())


def results(evaluator, records, detections):
    for record, one in zip(records, detections, strict=True):
        evaluator.add(record, one)
    state = evaluator.state()
    evaluator.merge([])
    evaluator.merge([state])
    (row,) = evaluator.results().values()
    return row


def test_instances_equal_the_authors_scripts(tmp_path: Path):
    for name, ids, *_ in scenes():
        folders = save(tmp_path, name, instances=ids)
    records = load_cityscapes_instances(*folders).records
    row = results(CityscapesInstanceEvaluator(), records, [s[3] for s in scenes()])
    assert {key: row[key] for key in ORACLE_SEGM} == pytest.approx(ORACLE_SEGM, abs=1e-9)


def test_semantic_equals_the_authors_scripts(tmp_path: Path):
    for name, ids, train_ids, *_ in scenes():
        folders = save(tmp_path, name, instances=ids, train_ids=train_ids)
    records = load_cityscapes_semantic(*folders).records
    row = results(CityscapesSemanticEvaluator(), records, [semantic(s[4]) for s in scenes()])
    assert {key: row[key] for key in ORACLE_SEMANTIC} == pytest.approx(ORACLE_SEMANTIC, abs=1e-9)


def test_instances_by_hand(tmp_path: Path):
    # Cars of 200 and of 100 pixels, one of 50 (too small to count), a group of cars, and void.
    ids = np.full(SIZE, 7)
    ids[0:10, 0:20] = 26000
    ids[0:10, 40:50] = 26001
    ids[20:25, 0:10] = 26002
    ids[30:50, 0:20] = 26
    ids[60:80, 0:20] = 0
    first, on_small, on_group, on_void, on_road = (np.zeros(SIZE, dtype=bool) for _ in range(5))
    first[0:10, 0:20] = True
    on_small[20:25, 0:9] = True
    on_group[30:40, 0:20] = True
    on_void[60:70, 0:20] = True
    on_road[80:90, 0:20] = True
    masks = [first, on_road, on_small, on_group, on_void, np.zeros(SIZE, dtype=bool)]
    detections = found(masks, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [2] * 6)
    (record,) = load_cityscapes_instances(*save(tmp_path, "ulm_0_1", instances=ids)).records
    row = results(CityscapesInstanceEvaluator(), [record], [detections])
    # Points: (recall 1/2, precision 1), (1/2, 1/2), and (0, 1) by definition. Each weighs half of
    # the recall between its neighbours: 1 * (1/2 - 0)/2 + 1/2 * (1/2 - 1/2)/2 + 1 * (1/2 - 0)/2.
    assert row["AP50"] == pytest.approx(50.0)
    assert row["AP-car"] == row["AP"] == pytest.approx(50.0)
    assert math.isnan(row["AP-person"])


def test_semantic_by_hand(tmp_path: Path):
    # 100 pixels of road, 100 of a car, 50 ignored; half of the car is called a truck.
    train_ids = np.full(SIZE, 255)
    train_ids[0:10, 0:10], train_ids[20:30, 0:10] = 0, 13
    ids = np.zeros(SIZE)
    ids[0:10, 0:10], ids[20:30, 0:10] = 7, 26000
    pred = np.zeros(SIZE, dtype=np.int64)
    pred[20:30, 0:5], pred[20:30, 5:10] = 13, 14
    folders = save(tmp_path, "ulm_0_1", instances=ids, train_ids=train_ids)
    records = load_cityscapes_semantic(*folders).records
    row = results(CityscapesSemanticEvaluator(), records, [semantic(pred)])
    assert row["IoU-road"] == row["IoU-flat"] == row["IoU-vehicle"] == 100
    assert (row["IoU-car"], row["IoU-truck"]) == (50, 0)
    assert row["IoU"] == pytest.approx((100 + 50 + 0) / 3)
    assert row["iIoU"] == pytest.approx((50 + 0) / 2)
    assert (row["IoU_sup"], row["iIoU_sup"]) == (100, 100)


def test_nothing_labelled_or_found(tmp_path: Path):
    empty = np.full(SIZE, 7)
    folders = save(tmp_path, "ulm_0_1", instances=empty)
    records = load_cityscapes_instances(*folders).records
    row = results(CityscapesInstanceEvaluator(), records, [found([], [], [])])
    assert all(math.isnan(value) for value in row.values())
    assert math.isnan(CityscapesInstanceEvaluator().results()["segm"]["AP"])
    assert math.isnan(CityscapesSemanticEvaluator().results()["sem_seg"]["IoU"])


def test_no_instance_maps_for_semantic(tmp_path: Path):
    labels = np.zeros(SIZE)
    records = load_cityscapes_semantic(*save(tmp_path, "ulm_0_1", train_ids=labels)).records
    pred = np.zeros(SIZE, dtype=np.int64)
    row = results(CityscapesSemanticEvaluator(), records, [semantic(pred)])
    assert (row["IoU"], row["IoU_sup"]) == (100, 100)
    assert math.isnan(row["iIoU"])


def test_chosen_for_its_data_sets(tmp_path: Path, caplog):
    caplog.set_level(logging.INFO)
    ids = np.full(SIZE, 26001)
    folders = save(tmp_path, "ulm_0_1", instances=ids, train_ids=np.full(SIZE, 13))
    cfg = get_config()
    cfg.MODEL.MASK_ON = True
    dataset = load_cityscapes_instances(*folders)
    (chosen,) = build_evaluators(cfg, dataset.records, dataset.class_names, dataset=dataset)
    assert isinstance(chosen, CityscapesInstanceEvaluator)
    cfg.MODEL.MASK_ON = False
    (boxes,) = build_evaluators(cfg, dataset.records, dataset.class_names, dataset=dataset)
    assert "bbox" in boxes.results()
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    dataset = load_cityscapes_semantic(*folders)
    (chosen,) = build_evaluators(cfg, dataset.records, [], dataset=dataset)
    assert isinstance(chosen, CityscapesSemanticEvaluator)
