"""The platform's own client runs a whole cycle: train, mine and infer, fine-tune, infer again.

The tests look at the content that the platform stores, packs and shows to its user.
The two trainings list the same classes in different orders, so a class that is carried over by
position instead of by name would show. `make image-test` runs the same against the built image.
"""

import json
import os
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image

IN_IMAGE = bool(os.environ.get("EXECUTOR_IMAGE"))
pytestmark = [pytest.mark.image] if IN_IMAGE else [pytest.mark.slow, pytest.mark.network]

TRAIN, MINE, TUNE = (f"t000000{i}00000123456789012345678{i}" for i in (1, 2, 3))
FIRST_CLASSES = ["green_disc", "red_box"]
ALL_CLASSES = ["blue_tri", "red_box", "green_disc"]
TRAINING: dict[str, Any] = {
    "config_file": "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml",
    "batch_size": "8",  # a web form sends numbers as text
    "max_iter": 120,
    "learning_rate": 0.001,
    "image_size": 128,
    "num_workers": 0,
    "eval_period": 60,
}


class Found(NamedTuple):
    """One object: x0 y0 x1 y1 in inclusive pixels; score 1 for ground truth."""

    name: str
    box: tuple[int, int, int, int]
    score: float = 1.0


@pytest.fixture(scope="module")
def trained(client: Any, scenes: Path) -> Path:
    """The work folder of the first training: two classes, ark annotations."""
    for split in ("train", "val", "candidates"):
        client.import_split(scenes / split, split)
    config = {**TRAINING, "class_names": FIRST_CLASSES, "export_format": "ark:raw"}
    return client.train(TRAIN, config)


@pytest.fixture(scope="module")
def first_model(client: Any, trained: Path) -> str:
    """`hash@stage` of the recommended stage of the first model."""
    return _recommended(client, client.package())


@pytest.fixture(scope="module")
def mined(client: Any, first_model: str) -> Path:
    """The work folder of a combined mining and infer run."""
    return client.mine(MINE, {"conf_threshold": 0.3}, first_model, topk=3)


@pytest.fixture(scope="module")
def tuned_model(client: Any, first_model: str) -> str:
    """A second model: fine-tuned from the first on all classes, PASCAL VOC annotations."""
    config = {**TRAINING, "class_names": ALL_CLASSES, "export_format": "voc:raw"}
    client.train(TUNE, config, pretrained=first_model)
    return _recommended(client, client.package())


def test_training_packs_a_model_that_stands_alone(client: Any, trained: Path) -> None:
    files = client.package_files(client.package())
    info = yaml.safe_load(files["ymir-info.yaml"])
    assert info["executor_config"]["class_names"] == FIRST_CLASSES
    assert 0.5 < info["task_context"]["mAP"] <= 1.0
    for stage in info["stages"].values():
        names = {f"{stage['stage_name']}/{name}" for name in stage["files"]}
        assert names <= files.keys()
        assert {Path(name).suffix for name in names} >= {".pth", ".yaml"}


def test_training_leaves_tensorboard_files(client: Any, trained: Path) -> None:
    events = [*(client.folder / f"tensorboard-{TRAIN}").rglob("events.out.tfevents.*")]
    assert events
    assert all(file.stat().st_size > 0 for file in events)


@pytest.mark.parametrize("task", [TRAIN, MINE])
def test_monitor_records_are_whole_and_never_fall(client: Any, mined: Path, task: str) -> None:
    records = [content.splitlines()[0].split("\t") for content in client.monitor_records(task)]
    ours = [record for record in records if record[3] != "1"]  # the first is the platform's own
    assert len(ours) >= 3
    assert {(record[0], record[3], record[4]) for record in ours} == {(task, "2", "0")}
    fractions = [float(record[2]) for record in ours]
    assert fractions[-1] == 1.0
    assert all(0 <= before <= after <= 1 for before, after in pairwise(fractions))
    assert all(float(before[1]) < float(after[1]) for before, after in pairwise(ours))


def test_mining_ranks_every_candidate_and_the_platform_keeps_the_first(
    client: Any, mined: Path, scenes: Path
) -> None:
    rows = [line.split("\t") for line in (mined / "out" / "result.tsv").read_text().splitlines()]
    ranked = [Path(path).stem for path, _ in rows]
    assert len(set(ranked)) == len(json.loads((scenes / "truth.json").read_text()))
    scores = [float(score) for _, score in rows]
    assert scores == sorted(scores, reverse=True)
    kept = client.export(f"{MINE}@{MINE}", "selected") / "assets"
    assert {path.stem for path in kept.glob("??/*")} == set(ranked[:3])


def test_predictions_arrive_in_the_platform_under_the_right_names(client: Any, mined: Path) -> None:
    stored = client.export(f"{MINE}@{MINE}", "stored")
    truth = {path.stem: _read_voc(path) for path in (stored / "gt").glob("??/*.xml")}
    found = {path.stem: _read_voc(path) for path in (stored / "pred").glob("??/*.xml")}
    assert found.keys() == truth.keys()
    _assert_agree(found, truth, FIRST_CLASSES)


def test_infer_detects_in_loose_files(client: Any, first_model: str, scenes: Path) -> None:
    found = _infer(client, "loose", first_model, scenes)
    _assert_agree(found, _truth(scenes), FIRST_CLASSES)


def test_fine_tuning_carries_classes_over_by_name(
    client: Any, tuned_model: str, scenes: Path
) -> None:
    files = client.package_files(tuned_model.split("@")[0])
    info = yaml.safe_load(files["ymir-info.yaml"])
    assert info["executor_config"]["class_names"] == ALL_CLASSES
    _assert_agree(_infer(client, "tuned", tuned_model, scenes), _truth(scenes), ALL_CLASSES)


def _recommended(client: Any, package: str) -> str:
    info = yaml.safe_load(client.package_files(package)["ymir-info.yaml"])
    return f"{package}@{info['best_stage_name']}"


def _infer(client: Any, name: str, model: str, scenes: Path) -> dict[str, list[Found]]:
    """Detections of every candidate, each checked to be whole pixels within its image."""
    images = scenes / "candidates" / "images"
    work = client.infer(name, {"conf_threshold": 0.3}, model, images)
    result = json.loads((work / "out" / "infer-result.json").read_text(encoding="utf-8"))
    found: dict[str, list[Found]] = {}
    for file, entry in result["detection"].items():
        with Image.open(images / file) as image:
            width, height = image.size
        found[file] = []
        for item in entry["boxes"]:
            x, y, w, h = (item["box"][key] for key in "xywh")
            assert all(type(value) is int for value in (x, y, w, h))
            assert 0 <= x < x + w <= width
            assert 0 <= y < y + h <= height
            assert 0.3 <= item["score"] <= 1
            box = (x, y, x + w - 1, y + h - 1)
            found[file].append(Found(item["class_name"], box, item["score"]))
    assert found.keys() == _truth(scenes).keys()
    return found


def _assert_agree(
    found: dict[str, list[Found]], truth: dict[str, list[Found]], class_names: list[str]
) -> None:
    """Most objects of the trained classes are found, and the surest name there is the right one."""
    objects = [(key, item) for key in truth for item in truth[key] if item.name in class_names]
    surest = [
        max(
            (f for f in found[key] if _iou(f.box, o.box) > 0.5), key=lambda f: f.score, default=None
        )
        for key, o in objects
    ]
    pairs = [(o, f) for (_, o), f in zip(objects, surest, strict=True) if f is not None]
    right = sum(o.name == f.name for o, f in pairs)
    assert right >= 0.7 * len(objects), f"{right} of {len(objects)} objects found"
    assert len(pairs) - right <= 0.1 * len(objects), f"{pairs}: wrong names"
    assert {item.name for items in found.values() for item in items} == set(class_names)


def _iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes of inclusive pixels."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(0, width) * max(0, height)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return shared / (sum(areas) - shared)


def _truth(scenes: Path) -> dict[str, list[Found]]:
    objects = json.loads((scenes / "truth.json").read_text(encoding="utf-8"))
    return {
        file: [Found(name, tuple(box)) for name, box in items] for file, items in objects.items()
    }


def _read_voc(path: Path) -> list[Found]:
    found = []
    for item in ET.parse(path).getroot().iter("object"):
        corners = [
            int(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")
        ]
        score = float(item.findtext("confidence", "1"))
        found.append(Found(item.findtext("name", ""), tuple(corners), score))
    return found
