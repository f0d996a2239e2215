"""Files in COCO's formats: ids are the data set's own, label maps are read back from PNGs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.engine.data.datasets.dataset import Dataset
from app.engine.evaluation.result_files import PanopticFiles, SemanticFile
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

RECORD = ImageRecord(
    Path("photos/one.jpg"), 2, 3, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), 1
)
DATASET = Dataset(
    [], ["person", "car"], [3, 7], stuff_names=["things", "sky", "sea"], stuff_ids=[20, 31]
)


def test_panoptic_files(tmp_path):
    segments = torch.tensor([[0, 1, 2], [300, 300, 70_000]], dtype=torch.int32)
    described = [
        {"id": 1, "isthing": True, "category_id": 1, "score": 0.5},
        {"id": 2, "isthing": True, "category_id": 0, "score": 0.5},
        {"id": 300, "isthing": False, "category_id": 2, "area": 2},
        {"id": 70_000, "isthing": False, "category_id": 1, "area": 1},
    ]
    files = PanopticFiles(tmp_path / "predictions.json", DATASET)
    files.add(RECORD, replace(Detections.empty((2, 3)), panoptic=(segments, described)))
    assert files.results() == {}

    written = json.loads((tmp_path / "predictions.json").read_text())
    assert written["categories"] == [
        {"id": 3, "name": "person", "isthing": 1},
        {"id": 7, "name": "car", "isthing": 1},
        {"id": 20, "name": "sky", "isthing": 0},
        {"id": 31, "name": "sea", "isthing": 0},
    ]
    (annotation,) = written["annotations"]
    ids = {info["id"]: info["category_id"] for info in annotation["segments_info"]}
    assert ids == {1: 7, 2: 3, 300: 31, 70_000: 20}
    assert all("isthing" not in info for info in annotation["segments_info"])
    pixels = np.asarray(Image.open(tmp_path / "predictions" / annotation["file_name"])).astype(int)
    assert (pixels @ [1, 256, 65_536] == segments.numpy()).all()


def test_instances_and_stuff_that_are_not_merged_write_no_panoptic_file(tmp_path):
    files = PanopticFiles(tmp_path / "predictions.json", DATASET)
    files.add(RECORD, Detections.empty((2, 3)))
    assert files.results() == {}
    assert not list(tmp_path.iterdir())


def test_semantic_file(tmp_path):
    file = SemanticFile(tmp_path / "sem_seg.json", [0, *DATASET.stuff_ids])
    logits = torch.zeros(3, 2, 3)
    logits[2, :, :1], logits[0, :, 1:] = 1, 1
    file.add(RECORD, replace(Detections.empty((2, 3)), semantic=logits))
    assert file.results() == {}
    found = json.loads((tmp_path / "sem_seg.json").read_text())
    assert [entry["category_id"] for entry in found] == [0, 31]
