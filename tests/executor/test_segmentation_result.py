import json
import math
from pathlib import Path

from executor.dataset_reader import Asset
from executor.segmentation_result import (
    Segment,
    segmentation_entry,
    write_segmentation_result,
)


def test_a_coco_file(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    segment = Segment((1.0, 2.0, 5.0, 8.0), class_index=1, score=0.75, counts="abc", area=24.0)
    broken = Segment((1.0, 2.0, 5.0, 8.0), class_index=0, score=math.nan, counts="abc", area=24.0)
    entries = [
        segmentation_entry(size=(10, 20)),
        segmentation_entry([segment, broken, segment], size=(30, 40)),
    ]
    images = [Asset("/in/assets/empty.jpg"), Asset("/in/assets/a.jpg")]
    write_segmentation_result(path, images, entries, ["cat", "dog"])
    content = json.loads(path.read_text())
    assert content["categories"] == [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    assert [image["file_name"] for image in content["images"]] == ["empty.jpg", "a.jpg"]
    first, second = content["annotations"]
    assert first == {
        "id": 1,
        "image_id": 2,
        "category_id": 1,
        "bbox": [1, 2, 4, 6],
        "area": 24.0,
        "iscrowd": 0,
        "segmentation": {"counts": "abc", "size": [30, 40]},
        "confidence": 0.75,
    }
    assert second["id"] == 2


def test_no_images(tmp_path: Path):
    path = tmp_path / "infer-result.json"
    write_segmentation_result(path, [], [], ["cat"])
    content = json.loads(path.read_text())
    assert content["images"] == content["annotations"] == []
