"""The platform's COCO files: matching by base name, masks of all kinds, damage of all kinds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from app.engine.data.formats import FORMATS, Reading
from app.engine.data.formats.coco import parse_segmentation
from app.engine.data.problems import Problems
from app.engine.structures.sample import ImageRecord

NAMES = ["cat", "dog"]


def _content(*annotations: dict[str, Any], file_name: str = "a.png") -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": file_name, "width": 32, "height": 24}],
        "categories": [{"id": 1, "name": "Dog"}, {"id": 0, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, **entry} for entry in annotations],
    }


def _read(image: Path, content: Any, problems: Problems | None = None) -> list[ImageRecord]:
    annotation = image.parent / "coco-annotations.json"
    annotation.write_text(content if isinstance(content, str) else json.dumps(content))
    return FORMATS["seg-coco"](
        [(image, annotation)], Reading(NAMES, problems=problems or Problems())
    )


def test_plain_boxes(save_image) -> None:
    problems = Problems()
    entry = {"bbox": [3, 4, 10, 10], "segmentation": {}, "iscrowd": 0, "confidence": -1.0}
    crowd = {"bbox": [0.5, 0, 2, 2], "category_id": 0, "iscrowd": 1}
    (record,) = _read(save_image(), _content(entry, crowd), problems)
    assert record.boxes.tolist() == [[3, 4, 13, 14], [0.5, 0, 2.5, 2]]
    assert record.classes.tolist() == [1, 0]
    assert record.crowd.tolist() == [False, True]
    assert record.segmentations is None
    assert problems.total == 0


def test_no_annotations(save_image) -> None:
    (record,) = _read(save_image(), _content())
    assert len(record) == 0
    content = _content()
    del content["annotations"]
    assert len(_read(save_image(), content)[0]) == 0


@pytest.mark.parametrize("file_name", ["a.png", "some/folder/a.png", "a.jpeg"])
def test_image_is_found_by_base_name(save_image, file_name: str) -> None:
    entry = {"bbox": [3, 4, 10, 10]}
    (record,) = _read(save_image("a.png"), _content(entry, file_name=file_name))
    assert len(record) == 1


def test_masks_of_every_kind(save_image) -> None:
    bits = np.zeros((24, 32), dtype=np.uint8)
    bits[4:14, 3:13] = 1
    packed = coco_mask.encode(np.asfortranarray(bits))
    plain = [3 * 24 + 4, *[10, 14] * 9, 10, 24 * 32 - (12 * 24 + 14)]
    entries = [
        {"bbox": [3, 4, 10, 10], "segmentation": [[3, 4, 13, 4, 13, 14, 3, 14]]},
        {"segmentation": {"size": [24, 32], "counts": packed["counts"].decode()}},
        {"segmentation": {"size": [24, 32], "counts": plain}},
        {"segmentation": [[3, 4, 13, 4, 13, 14, 3, 14]]},
        {"bbox": [3, 4, 10, 10], "segmentation": {}},
    ]
    problems = Problems()
    (record,) = _read(save_image(), _content(*entries), problems)
    assert record.boxes.tolist() == [[3, 4, 13, 14]] * 5
    polygons, packed_code, plain_code, _, none = record.segmentations
    assert isinstance(polygons, list)
    assert np.array_equal(coco_mask.decode(packed_code), bits)
    assert np.array_equal(coco_mask.decode(plain_code), bits)
    assert none is None
    assert problems.total == 0


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param([[1, 2, 3, 4]], id="two points"),
        pytest.param([[1, 2, 3, 4, 5, 6, 7]], id="odd number"),
        pytest.param([[1, 2, 3, 4, 5, "x"]], id="a word"),
        pytest.param([[1, 2, 3, 4, 5, float("nan")]], id="NaN"),
        pytest.param([1, 2, 3, 4, 5, 6], id="not a list of polygons"),
        pytest.param({"size": [24, 32], "counts": [1, 2]}, id="runs too short"),
        pytest.param({"size": [24, 32], "counts": [1 << 40, -(1 << 40) + 768]}, id="negative run"),
        pytest.param({"size": [32, 24], "counts": [768]}, id="size transposed"),
        pytest.param({"size": [24, 32], "counts": "~~~"}, id="code of other letters"),
        pytest.param({"size": [24, 32], "counts": "P"}, id="code that ends early"),
        pytest.param({"size": [24, 32], "counts": "oooooooooooooo0"}, id="code of a huge run"),
        pytest.param("mask", id="text"),
    ],
)
def test_broken_mask_leaves_a_box(save_image, segmentation: Any) -> None:
    problems = Problems()
    entry = {"bbox": [3, 4, 10, 10], "segmentation": segmentation}
    (record,) = _read(save_image(), _content(entry), problems)
    assert len(record) == 1
    assert record.segmentations is None
    assert [k for k in problems.counts if "mask" in k]


@pytest.mark.parametrize(
    ("change", "kind", "objects"),
    [
        pytest.param({"category_id": 7}, "unknown class", 0, id="unknown category"),
        pytest.param({"category_id": [1]}, "unknown class", 0, id="category is a list"),
        pytest.param({"bbox": [1, 2, 3]}, "four numbers", 0, id="three numbers"),
        pytest.param({"bbox": None}, "four numbers", 0, id="no box, no mask"),
        pytest.param({"bbox": [1, 2, 0, 5]}, "without area", 0, id="no width"),
        pytest.param({"image_id": 9}, "does not list", 0, id="unknown image"),
    ],
)
def test_what_is_wrong_is_counted(save_image, change, kind: str, objects: int) -> None:
    problems = Problems()
    (record,) = _read(save_image(), _content({"bbox": [3, 4, 10, 10], **change}), problems)
    assert len(record) == objects
    assert [k for k in problems.counts if kind in k]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"images": 3}', '{"images": [[]]}'])
def test_no_coco_file(save_image, content: str) -> None:
    problems = Problems()
    assert _read(save_image(), content, problems) == []
    assert problems.counts["image without a usable COCO file (left out)"] == 1


def test_unlisted_image_is_left_out(save_image) -> None:
    problems = Problems()
    assert _read(save_image("b.png"), _content(), problems) == []
    assert problems.total == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bits=st.lists(st.booleans(), min_size=12, max_size=12),
    code=st.text(alphabet=[chr(c) for c in range(40, 120)], max_size=8),
)
def test_run_lengths_round_trip_and_damage_is_safe(bits: list[bool], code: str) -> None:
    mask = np.array(bits, dtype=np.uint8).reshape(3, 4)
    encoded = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    parsed = parse_segmentation({"size": [3, 4], "counts": encoded}, (3, 4))
    assert np.array_equal(coco_mask.decode(parsed), mask)
    damaged = parse_segmentation({"size": [3, 4], "counts": code}, (3, 4))
    if damaged is not None:
        assert coco_mask.decode(damaged).shape == (3, 4)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"image_id": [1], "bbox": [1, 1, 2, 2]}, id="image id is a list"),
        pytest.param({"image_id": {}, "bbox": [1, 1, 2, 2]}, id="image id is a mapping"),
        pytest.param({"bbox": [1, 1, 2, 10**400]}, id="a number beyond floating point"),
        pytest.param({"segmentation": [[10**400] * 6]}, id="a corner beyond floating point"),
        pytest.param({"segmentation": {"size": [24, 32], "counts": 1.5}}, id="counts is a number"),
        pytest.param({"segmentation": {"size": [24, 32], "counts": {"a": 1}}}, id="a mapping"),
    ],
)
def test_odd_annotations_are_dropped_and_counted(save_image, entry: dict[str, Any]) -> None:
    problems = Problems()
    (record,) = _read(save_image(), _content({"bbox": [1, 1, 2, 2]}, entry), problems)
    assert len(record) == 1
    assert problems.total >= 1


@pytest.mark.parametrize("annotations", [3, True, 0.5], ids=repr)
def test_annotations_that_are_no_list(save_image, annotations: Any) -> None:
    problems = Problems()
    assert _read(save_image(), {**_content(), "annotations": annotations}, problems) == []
    assert problems.counts["annotation file is not COCO JSON"] == 1
