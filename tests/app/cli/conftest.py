"""Data sets of four images in detectron2's folders, and very narrow networks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.cli.__main__ import main
from app.engine.data.transforms.keypoints import COCO_PERSON

SIDE = 64
BOXES = [[4, 6, 30, 40], [28, 20, 30, 36]]  # x y width height; of the first and second category
THINGS = [{"id": 1, "name": "person", "isthing": 1}, {"id": 3, "name": "car", "isthing": 1}]
STUFF = {"id": 100, "name": "sky", "isthing": 0}

NARROW = [
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.WEIGHTS", ""),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", "4"),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", "8"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", "8"),
    *("MODEL.RESNETS.NORM", "BN"),
    *("MODEL.FPN.OUT_CHANNELS", "16"),
    *("MODEL.RPN.POST_NMS_TOPK_TRAIN", "40"),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", "20"),
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "16"),
    *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", "16"),
    *("MODEL.ROI_MASK_HEAD.CONV_DIM", "8"),
    *("MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS", "(8,)"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "32"),
    *("INPUT.MIN_SIZE_TRAIN", f"({SIDE},)"),
    *("INPUT.MIN_SIZE_TEST", f"{SIDE}"),
    *("SOLVER.IMS_PER_BATCH", "2"),
    *("SOLVER.MAX_ITER", "2"),
    *("SOLVER.STEPS", "()"),
    *("SOLVER.BASE_LR", "0.0001"),
    *("TEST.DETECTIONS_PER_IMAGE", "5"),
    *("DATALOADER.NUM_WORKERS", "0"),
    *("SEED", "3"),
]
"""Two iterations of two small images with a network of a few thousand weights."""


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch):
    """Sums in the same order everywhere, no weights of the machine's own, logs left to pytest."""
    torch.set_num_threads(1)
    monkeypatch.setattr("app.cli.__main__.setup_logging", lambda: None)
    monkeypatch.setenv("WEIGHTS_DIR", "")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory) -> Path:
    """coco/ and lvis/ with train and val sets of the same pictures."""
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        _write_coco(root, f"{split}2017")
        _write_lvis(root, split)
    return root


@pytest.fixture
def cli(data_root, tmp_path):
    """Run a verb with a config of configs/ on the narrow network; output goes to tmp_path/out."""

    def run(verb: str, config: str, *overrides: str, flags=(), narrow: bool = True) -> int:
        options = ["--config-file", config, "--output", str(tmp_path / "out"), *flags]
        if verb in ("train", "evaluate"):
            options += ["--data", str(data_root)]
        return main([verb, *options, *(NARROW if narrow else []), *overrides])

    return run


def _images(root: Path, split: str) -> list[dict[str, Any]]:
    folder = root / "coco" / split
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    entries = []
    for number in range(1, 5):
        pixels = rng.integers(90, 140, (SIDE, SIDE, 3), dtype=np.uint8)
        for (x, y, w, h), colour in zip(BOXES, ((220, 30, 30), (30, 220, 30)), strict=True):
            pixels[y : y + h, x : x + w] = colour
        name = f"{number:012d}.jpg"
        Image.fromarray(pixels).save(folder / name)
        url = f"http://images.cocodataset.org/{split}/{name}"
        size = {"height": SIDE, "width": SIDE}
        entries.append({"id": 10 * number, "file_name": name, "coco_url": url, **size})
    return entries


def _annotations(images, category_ids, **extra) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for image in images:
        for (x, y, w, h), category in zip(BOXES, category_ids, strict=False):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": category,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    **extra,
                }
            )
    return annotations


def _save(path: Path, images, annotations, categories) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))


def _write_coco(root: Path, split: str) -> None:
    images, folder = _images(root, split), root / "coco/annotations"
    things = [{key: c[key] for key in ("id", "name")} for c in THINGS]
    _save(folder / f"instances_{split}.json", images, _annotations(images, (1, 3)), things)
    person = {"id": 1, "name": "person", "keypoints": list(COCO_PERSON), "skeleton": []}
    points = [[6 + i, 8 + 2 * i, 2] for i in range(17)]
    flat = [value for point in points for value in point]
    annotations = _annotations(images, (1,), keypoints=flat, num_keypoints=17)
    _save(folder / f"person_keypoints_{split}.json", images, annotations, [person])
    _write_panoptic(root, split, images)


def _write_panoptic(root: Path, split: str, images) -> None:
    folder = root / "coco" / f"panoptic_{split}"
    folder.mkdir(parents=True)
    annotations = []
    for image in images:
        segments = np.full((SIDE, SIDE), 3, dtype=np.uint8)
        for number, (x, y, w, h) in enumerate(BOXES, start=1):
            segments[y : y + h, x : x + w] = number
        name = image["file_name"].replace(".jpg", ".png")
        zero = np.zeros_like(segments)
        Image.fromarray(np.stack((segments, zero, zero), axis=2)).save(folder / name)
        info = [
            {
                "id": number,
                "category_id": category,
                "iscrowd": 0,
                "area": int((segments == number).sum()),
            }
            for number, category in ((1, 1), (2, 3), (3, 100))
        ]
        annotations.append({"image_id": image["id"], "file_name": name, "segments_info": info})
    path = root / f"coco/annotations/panoptic_{split}.json"
    _save(path, images, annotations, [*THINGS, STUFF])


def _write_lvis(root: Path, split: str) -> None:
    content = json.loads((root / f"coco/annotations/instances_{split}2017.json").read_text())
    negatives = {"neg_category_ids": [3], "not_exhaustive_category_ids": []}
    images = [image | negatives for image in content["images"]]
    # The second category, a rare one, is in one image only.
    annotations = [a for a in content["annotations"] if a["category_id"] == 1 or a["image_id"] < 20]
    images[0] = images[0] | {"neg_category_ids": []}
    categories = [
        {"id": 1, "name": "person", "synonyms": ["person"], "frequency": "f"},
        {"id": 3, "name": "car_(automobile)", "synonyms": ["car"], "frequency": "r"},
    ]
    _save(root / f"lvis/lvis_v1_{split}.json", images, annotations, categories)
