"""Folders of recordings made elsewhere, with stored photographs."""

import json

import numpy as np
from PIL import Image

from verification.parity.compare import compare_detections
from verification.parity.golden import load_folder


def test_a_folder_brings_label_maps_and_segments(tmp_path):
    folder = tmp_path / "golden" / "panoptic"
    folder.mkdir(parents=True)
    Image.new("RGB", (3, 2), (10, 20, 30)).save(tmp_path / "image.png")
    (tmp_path / "spec.json").write_text(json.dumps({"overrides": [["a", "affine", [1, 0]]]}))
    case = {
        "input": "image.png",
        "orig_hw": [2, 3],
        "score_thresh": 0.05,
        "segments_info": [
            {"isthing": True, "category_id": 4},
            {"isthing": False, "category_id": 1},
        ],
    }
    about = {"config": "some.yaml", "spec": "spec.json", "cases": {"one": case}}
    (folder / "golden.json").write_text(json.dumps(about))
    np.savez(
        folder / "one.npz",
        sem_seg=np.array([[0, 1, 2], [0, 1, 2]], np.uint8),
        sem_seg_margin_u8=np.array([[0, 1, 2], [9, 9, 9]], np.uint8),
        panoptic=np.array([[1, 1, 2], [0, 2, 2]], np.uint16),
    )
    golden = load_folder(tmp_path, "panoptic")
    (read,) = golden.cases
    assert golden.training is None
    assert read.image[0, 0].tolist() == [30, 20, 10]
    assert read.expected["semantic_sure"].tolist() == [[False, False, True], [True] * 3]
    same = compare_detections("one", read.expected, read.expected)
    assert same.passed
    assert same.largest == {"semantic_share": 1.0, "panoptic_share": 1.0}
    other = dict(read.expected, panoptic_classes=np.array([5, 1]))
    assert not compare_detections("one", read.expected, other).passed
