"""Data sets in their authors' formats: COCO, LVIS, panoptic, VOC, Cityscapes; proposal files."""

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from app.engine.config import get_config
from app.engine.data.datasets import catalog
from app.engine.data.datasets.cityscapes import load_cityscapes_instances, load_cityscapes_semantic
from app.engine.data.datasets.coco import BROKEN_MASK, NO_AREA, load_coco
from app.engine.data.datasets.concatenate import concatenate
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.datasets.filters import count_images
from app.engine.data.datasets.lvis import load_lvis
from app.engine.data.datasets.panoptic import load_panoptic, read_segments, write_semantic
from app.engine.data.datasets.proposals import attach_proposals
from app.engine.data.datasets.voc import load_voc
from app.engine.data.formats._coco_file import UNKNOWN_IMAGE
from app.engine.data.formats._coco_objects import BROKEN_POLYGON, NO_BOX, UNLISTED_CATEGORY
from app.engine.data.transforms.keypoints import COCO_PERSON
from app.engine.errors import ConfigError, DatasetError


def _write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def _save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def _coco(*annotations: dict[str, Any]) -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 24, "width": 32} for i in (7, 3)]
    categories = [{"id": 44, "name": "dog"}, {"id": 2, "name": "cat"}]
    numbered = [{"id": i, "image_id": 7, **a} for i, a in enumerate(annotations)]
    return {"images": images, "categories": categories, "annotations": numbered}


def _published(path: Path, folder: Path) -> Dataset:
    """As detectron2 reads the data sets that it knows: no image is opened."""
    return load_coco(path, folder, is_published=True)


SQUARE = [[2, 2, 6, 2, 6, 6, 2, 6]]


def test_coco_sorts_images_and_classes_by_id(tmp_path: Path) -> None:
    content = _coco(
        {"bbox": [1, 2, 3, 4], "category_id": 44, "area": 9, "iscrowd": 0, "segmentation": SQUARE},
        {"bbox": [0, 0, 5, 5], "category_id": 2, "area": 20.5, "iscrowd": 1},
    )
    dataset = _published(_write(tmp_path / "a.json", content), tmp_path / "images")
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.category_ids == [2, 44]
    empty, full = dataset.records
    assert (empty.image_id, full.image_id) == (3, 7)
    assert len(empty) == 0
    assert full.path == tmp_path / "images" / "7.jpg"
    assert full.size == (24, 32)
    assert full.boxes.tolist() == [[1, 2, 4, 6], [0, 0, 5, 5]]
    assert full.classes.tolist() == [1, 0]
    assert full.crowd.tolist() == [False, True]
    assert full.segmentations[0][0].tolist() == SQUARE[0]
    assert full.segmentations[1] is None
    assert full.extra["areas"].tolist() == [9, 20.5]
    assert full.keypoints is None


def test_coco_leaves_broken_annotations_out(tmp_path: Path, caplog) -> None:
    content = _coco(
        {"bbox": [1, 2, 3, 4], "category_id": 2, "segmentation": [[1, 2, 3, 4]]},
        {"bbox": [1, 2, 3, 4], "category_id": 9},
        {"bbox": [], "category_id": 2},
        {"bbox": [1, 2, 3, 4], "category_id": 2, "segmentation": [[1, 2], *SQUARE], "id": 0},
    )
    with caplog.at_level(logging.WARNING):
        dataset = _published(_write(tmp_path / "a.json", content), tmp_path)
    assert len(dataset.records[1]) == 1
    assert len(dataset.records[1].segmentations[0]) == 1
    assert "share an id" in caplog.text
    for kind in (BROKEN_MASK, UNLISTED_CATEGORY, NO_BOX, BROKEN_POLYGON):
        assert f"1 x {kind}" in caplog.text


def test_published_boxes_stay_as_they_are(tmp_path: Path, caplog) -> None:
    """Nothing is clipped, put in order or taken from a mask: AP must be detectron2's."""
    boxes = [[-5, 2, 50, 4], [5, 5, 0, 3], [9, 9, -2, 3], ["1", 2, 3, 4]]
    content = _coco(*({"bbox": box, "category_id": 2, "segmentation": SQUARE} for box in boxes))
    content["annotations"].append({"id": 9, "image_id": 8, "category_id": 2, "bbox": boxes[0]})
    dataset = _published(_write(tmp_path / "a.json", content), tmp_path)
    expected = [[-5, 2, 45, 6], [5, 5, 5, 8], [9, 9, 7, 12], [1, 2, 4, 6]]
    assert dataset.records[1].boxes.tolist() == expected
    assert not dataset.records[1].difficult.any()
    assert f"1 x {NO_AREA}" in caplog.text
    assert f"1 x {UNKNOWN_IMAGE}" in caplog.text


def test_own_keypoints_are_those_of_published_sets(make_record, tmp_path: Path) -> None:
    path = make_record().path
    content = _coco(
        *({"bbox": [1, 2, 3, 4], "category_id": 2, **k} for k in ({}, {"keypoints": []}))
    )
    content["annotations"][0]["keypoints"] = [10, 20, 2, "5", 6.5, 1]
    content["categories"] = [{"id": 2, "name": "person", "keypoints": ["a", "b"]}]
    content["images"] = [{"id": 7, "file_name": path.name, "height": 24, "width": 32}]
    own = load_coco(_write(tmp_path / "a.json", content), tmp_path)
    published = _published(tmp_path / "a.json", tmp_path)
    for dataset in (own, published):
        (record,) = dataset.records
        assert record.keypoints[0].tolist() == [[10.5, 20.5, 2], [5.5, 7, 1]]
        assert record.keypoints[1, :, 2].tolist() == [0, 0]
        assert dataset.keypoint_names == ("a", "b")


@pytest.mark.parametrize(
    "values",
    [[1, 2, 2], [1, 2, 2, 3, 4], "abc", [1, 2, 2, 3, 4, None], [1, 2, 2, 3, 1e300, 2]],
    ids=str,
)
def test_keypoints_of_another_number_stop_the_set(values: Any, make_record, tmp_path: Path) -> None:
    path = make_record().path
    content = _coco({"bbox": [1, 2, 3, 4], "category_id": 2, "keypoints": values})
    content["categories"] = [{"id": 2, "name": "person", "keypoints": ["a", "b"]}]
    content["images"] = [{"id": 7, "file_name": path.name, "height": 24, "width": 32}]
    with pytest.raises(DatasetError, match=r"a\.json.*its category has 2"):
        load_coco(_write(tmp_path / "a.json", content), tmp_path)


def test_own_images_are_looked_for(save_image, tmp_path: Path, caplog) -> None:
    """In the folder, where their names do not say where they are."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name in ("x.png", "sub/y.png", "z.png"):
        save_image(f"images/{name}")
    names = ("x.png", "train\\sub\\y.png", str(folder / "z.png"))
    content = _coco(*({"image_id": i, "bbox": [i, 0, 9, 9], "category_id": 2} for i in range(3)))
    content["images"] = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    dataset = load_coco(_write(tmp_path / "a.json", content), folder)
    found = [record.path.relative_to(folder).as_posix() for record in dataset.records]
    assert found == ["x.png", "sub/y.png", "z.png"]
    assert [record.boxes[0, 0] for record in dataset.records] == [0, 1, 2]
    assert "sub/y.png is listed as train" in caplog.text


def test_own_names_in_two_folders_stop_the_set(save_image, tmp_path: Path) -> None:
    for name in ("cam1", "cam2"):
        (tmp_path / name).mkdir()
        save_image(f"{name}/x.png")
    content = _coco()
    content["images"] = [{"id": 1, "file_name": "x.png"}]
    with pytest.raises(DatasetError, match=r"x\.png \(id 1\): .*cam1/x\.png and .*cam2/x\.png"):
        load_coco(_write(tmp_path / "a.json", content), tmp_path)


def test_texts_for_ids(save_image, tmp_path: Path) -> None:
    """Sorted behind numbers; a class without a number gets none."""
    for name in ("x.png", "y.png", "z.png"):
        save_image(name)
    content = _coco()
    content["images"] = [
        {"id": i, "file_name": f"{n}.png"} for i, n in (("b", "x"), ("07", "y"), (9, "z"))
    ]
    content["categories"] = [{"id": "dog", "name": "dog"}, {"id": 1, "name": " cat "}]
    dataset = load_coco(_write(tmp_path / "a.json", content), tmp_path)
    assert [record.image_id for record in dataset.records] == ["07", 9, "b"]
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.category_ids == []


def test_coco_keypoints_become_pixel_centres(tmp_path: Path) -> None:
    content = _coco({"bbox": [1, 2, 3, 4], "category_id": 2, "keypoints": [10, 20, 2] * 17})
    content["categories"] = [{"id": 2, "name": "person", "keypoints": list(COCO_PERSON)}]
    dataset = _published(_write(tmp_path / "a.json", content), tmp_path)
    assert dataset.records[1].keypoints.shape == (1, 17, 3)
    assert dataset.records[1].keypoints[0, 5].tolist() == [10.5, 20.5, 2]
    assert dataset.keypoint_names == COCO_PERSON
    assert dataset.keypoint_names[:3] == ("nose", "left_eye", "right_eye")


@pytest.mark.parametrize("text", [None, "{", "[]", '{"images": []}'])
def test_no_coco_file(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DatasetError, match=r"a\.json"):
        load_coco(path, tmp_path)


def test_lvis(tmp_path: Path) -> None:
    content = _coco({"bbox": [1, 2, 3, 4], "category_id": 44, "segmentation": SQUARE})
    content["images"][0] |= {
        "coco_url": "http://images.cocodataset.org/val2017/000000000007.jpg",
        "neg_category_ids": [2],
        "not_exhaustive_category_ids": [44],
    }
    content["categories"][0]["synonyms"] = ["domestic dog", "dog"]
    dataset = load_lvis(_write(tmp_path / "a.json", content), tmp_path / "coco")
    record = dataset.records[1]
    assert record.path == tmp_path / "coco/val2017/000000000007.jpg"
    assert record.extra["neg_classes"] == [0]
    assert record.extra["not_exhaustive_classes"] == [1]
    assert dataset.class_names == ["cat", "domestic dog"]
    assert dataset.evaluation == "lvis"
    assert count_images(dataset.records, 2).tolist() == [0, 1]


def test_panoptic(tmp_path: Path) -> None:
    pixels = np.zeros((24, 32, 3), dtype=np.uint8)
    pixels[:, :10] = [1, 1, 0]  # segment 257
    pixels[:, 10:20] = [5, 0, 0]
    instances = _write(tmp_path / "instances.json", _coco())
    segments = [{"id": 257, "category_id": 90}, {"id": 5, "category_id": 2}]
    entries = [{"image_id": i, "file_name": f"{i}.png", "segments_info": segments} for i in (3, 7)]
    categories = [
        {"id": 2, "name": "cat", "isthing": 1},
        {"id": 90, "name": "sky", "isthing": 0},
        {"id": 80, "name": "sea", "isthing": 0},
    ]
    panoptic = {"images": [], "categories": categories, "annotations": entries}
    panoptic_json = _write(tmp_path / "panoptic.json", panoptic)
    for i in (3, 7):
        _save(tmp_path / "panoptic" / f"{i}.png", pixels)
    write_semantic(panoptic_json, tmp_path / "panoptic", tmp_path / "stuff")
    folders = {"panoptic_dir": tmp_path / "panoptic", "semantic_dir": tmp_path / "stuff"}
    dataset = load_panoptic(instances, tmp_path, panoptic_json=panoptic_json, **folders)
    assert dataset.stuff_names == ["things", "sea", "sky"]
    extra = dataset.records[0].extra
    labels = np.asarray(Image.open(extra["sem_seg_path"]))
    assert labels[0, [0, 15, 25]].tolist() == [2, 0, 255]
    assert read_segments(extra["pan_seg_path"])[0, [0, 15, 25]].tolist() == [257, 5, 0]
    assert extra["segments_info"] == segments

    panoptic["annotations"] = entries[:1]
    _write(panoptic_json, panoptic)
    with pytest.raises(DatasetError, match="no panoptic annotation of image 7"):
        load_panoptic(instances, tmp_path, panoptic_json=panoptic_json, **folders)


def test_voc_counts_from_one(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/val.txt").write_text("a\nb 1\n\nmissing\n")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>32</xmax><ymax>24</ymax></bndbox>"
    size = "<size><width>32</width><height>24</height></size>"
    dog = f"<object><name>dog</name><difficult>1</difficult>{box}</object>"
    (tmp_path / "Annotations/a.xml").write_text(f"<annotation>{size}{dog}</annotation>")
    (tmp_path / "Annotations/b.xml").write_text("<annotation></annotation>")
    _save(tmp_path / "JPEGImages/b.jpg", np.zeros((5, 6, 3), dtype=np.uint8))
    dataset = load_voc(tmp_path, "val")
    full, empty = dataset.records
    assert full.image_id == "a"
    assert full.size == (24, 32)
    assert full.boxes.tolist() == [[0, 0, 32, 24]]
    assert full.classes.tolist() == [11]
    assert full.difficult.tolist() == [True]
    assert empty.size == (5, 6)
    with pytest.raises(DatasetError, match=r"test\.txt"):
        load_voc(tmp_path, "test")


def _voc_folder(folder: Path, texts: dict[str, str]) -> Path:
    (folder / "Annotations").mkdir()
    (folder / "ImageSets/Main").mkdir(parents=True)
    (folder / "ImageSets/Main/train.txt").write_text("\n".join(texts))
    for name, text in texts.items():
        (folder / f"Annotations/{name}.xml").write_text(text)
    return folder


def test_voc_keeps_fractions_and_tells_what_it_drops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def text(name: str, x1: str) -> str:
        corners = f"<xmin>2</xmin><ymin>3</ymin><xmax>{x1}</xmax><ymax>9</ymax>"
        return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"

    size = "<size><width>32</width><height>24</height></size>"
    objects = text("dog", "9.5") + text("unicorn", "9") + text("Cat", "1")
    folder = _voc_folder(tmp_path, {"a": f"<annotation>{size}{objects}</annotation>"})
    (record,) = load_voc(folder, "train").records
    assert record.boxes.tolist() == [[1, 2, 9.5, 9], [0, 2, 2, 9]]
    for words in ("unknown class", "another case", "ends before it begins"):
        assert words in caplog.text


def test_voc_with_broken_files_is_refused(tmp_path: Path) -> None:
    size = "<size><width>32</width><height>24</height></size>"
    sound = f"<annotation>{size}</annotation>"
    texts = {"a": sound, "b": "", "c": "<annotation>"}
    with pytest.raises(DatasetError, match="2 of 3 images"):
        load_voc(_voc_folder(tmp_path, texts), "train")


def test_voc_without_a_size_needs_its_image(tmp_path: Path) -> None:
    texts = {"a": "<annotation/>", "b": "<annotation/>"}
    with pytest.raises(DatasetError, match=r"2 of 2 images.*unreadable image"):
        load_voc(_voc_folder(tmp_path, texts), "train")


def test_cityscapes(tmp_path: Path) -> None:
    ids = np.zeros((6, 8), dtype=np.int32)
    ids[1:3, 2:5] = 26001  # a car
    ids[4, 4] = 24  # a group of persons
    ids[5, 5] = 7  # road
    ids[0, 0] = 29001  # caravan: not evaluated
    gt, images = tmp_path / "gt", tmp_path / "images"
    _save(images / "ulm/ulm_1_leftImg8bit.png", np.zeros((6, 8, 3), dtype=np.uint8))
    _save(gt / "ulm/ulm_1_gtFine_instanceIds.png", ids.astype(np.uint16))
    dataset = load_cityscapes_instances(images, gt)
    (record,) = dataset.records
    assert record.classes.tolist() == [0, 2]
    assert record.crowd.tolist() == [True, False]
    assert record.boxes.tolist() == [[4, 4, 5, 5], [2, 1, 5, 3]]
    assert coco_mask.decode(record.segmentations[1]).sum() == 6
    with pytest.raises(DatasetError, match="labelTrainIds"):
        load_cityscapes_semantic(images, gt)
    _save(gt / "ulm/ulm_1_gtFine_labelTrainIds.png", np.zeros((6, 8), dtype=np.uint8))
    assert load_cityscapes_semantic(images, gt).records[0].size == (6, 8)
    with pytest.raises(DatasetError, match="city folders"):
        load_cityscapes_semantic(tmp_path / "none", gt)


@pytest.mark.parametrize("suffix", [".pkl", ".json", ".npz"])
def test_proposals(make_record, tmp_path: Path, suffix: str) -> None:
    boxes = [np.array([[0, 0, 5, 5], [1, 1, 4, 4]], np.float32), np.zeros((0, 4), np.float32)]
    logits = [np.array([0.5, 2.0], np.float32), np.zeros(0, np.float32)]
    path = tmp_path / f"proposals{suffix}"
    if suffix == ".npz":
        table = {"boxes": np.concatenate(boxes), "objectness_logits": np.concatenate(logits)}
        np.savez(path, ids=np.array([11, 12]), counts=np.array([2, 0]), **table)
    elif suffix == ".json":
        table = {"boxes": [b.tolist() for b in boxes], "scores": [x.tolist() for x in logits]}
        _write(path, {"indexes": [11, 12], **table})
    else:
        table = {"ids": [11, 12], "boxes": boxes, "objectness_logits": logits, "bbox_mode": 1}
        path.write_bytes(pickle.dumps(table, protocol=2))
    records = [make_record(image_id=12), make_record(image_id=11)]
    attach_proposals(records, path)
    found, scores = records[1].extra["proposals"]
    last = [1, 1, 5, 5] if suffix == ".pkl" else [1, 1, 4, 4]
    assert found.tolist() == [last, [0, 0, 5, 5]]
    assert scores.tolist() == [2, 0.5]
    assert records[0].extra["proposals"][0].shape == (0, 4)
    with pytest.raises(DatasetError, match="no proposals for image 13"):
        attach_proposals([make_record(image_id=13)], path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"cos\nsystem\n(S'true'\ntR.", "refused", id="malicious"),
        pytest.param(b"", "proposal file", id="empty"),
        pytest.param(pickle.dumps([1], protocol=2), "holds a table", id="a list"),
        pytest.param(pickle.dumps({"ids": []}, protocol=2), "no 'boxes'", id="incomplete"),
        pytest.param(
            pickle.dumps({"ids": [], "boxes": [], "scores": [], "bbox_mode": 4}, protocol=2),
            "bbox_mode is 4",
            id="rotated",
        ),
    ],
)
def test_wrong_proposal_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "proposals.pkl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        attach_proposals([], path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"ids": 3}, id="ids is a number"),
        pytest.param({"bbox_mode": [0, 1]}, id="bbox_mode is a list"),
        pytest.param({"boxes": []}, id="too few lists of boxes"),
        pytest.param({"boxes": [[[1, 2, 3]]]}, id="three numbers"),
        pytest.param({"boxes": [[["a", "b", "c", "d"]]]}, id="words"),
        pytest.param({"boxes": [[[1, 2, 3, 1e999]]]}, id="infinite"),
        pytest.param({"objectness_logits": [[1, 2]]}, id="more logits than boxes"),
        pytest.param({"objectness_logits": 5}, id="logits are a number"),
    ],
)
def test_proposals_of_another_shape(change: dict[str, Any], make_record, tmp_path: Path) -> None:
    table = {"ids": [0], "boxes": [[[1, 2, 3, 4]]], "objectness_logits": [[1.0]], **change}
    path = _write(tmp_path / "proposals.json", table)
    with pytest.raises(DatasetError, match=r"proposals\.json"):
        attach_proposals([make_record(image_id=0)], path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18, b"\x93NUMPY"])
def test_damaged_npz_files(content: bytes, make_record, tmp_path: Path) -> None:
    (tmp_path / "proposals.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"proposals\.npz"):
        attach_proposals([make_record(image_id=0)], tmp_path / "proposals.npz")


ENTRY = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}
IMAGE = {"id": 1, "file_name": "a.png", "height": 4, "width": 4}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"images": [{"id": 1}]}, id="image without a size"),
        pytest.param({"images": [{**IMAGE, "height": "x"}]}, id="height is a word"),
        pytest.param({"images": [IMAGE, {**IMAGE, "id": None}]}, id="image without an id"),
        pytest.param({"images": 7}, id="images is a number"),
        pytest.param({"categories": None}, id="no categories"),
        pytest.param({"categories": [{"id": []}]}, id="category id is a list"),
        pytest.param({"annotations": 7}, id="annotations is a number"),
    ],
)
def test_json_of_another_shape(change: dict[str, Any], tmp_path: Path) -> None:
    content = {
        "images": [IMAGE],
        "categories": [{"id": 1, "name": "a", "isthing": 0}],
        "annotations": [ENTRY],
        **change,
    }
    path = _write(tmp_path / "set.json", content)
    for is_published in (False, True):
        with pytest.raises(DatasetError, match=r"set\.json"):
            load_coco(path, tmp_path, is_published=is_published)
    with pytest.raises(DatasetError, match=r"set\.json"):
        load_lvis(path, tmp_path)
    with pytest.raises(DatasetError, match=r"set\.json"):
        read_panoptic(path, tmp_path)


def read_panoptic(path: Path, folder: Path) -> Dataset:
    """The panoptic reader, with sound instances."""
    instances = _write(folder / "instances.json", {"images": [IMAGE], "categories": []})
    return load_panoptic(
        instances,
        folder,
        panoptic_json=path,
        panoptic_dir=folder,
        semantic_dir=folder,
    )


def test_huge_coordinates_are_left_out(tmp_path: Path) -> None:
    boxes = ([1, 1, 2, 2], [1, 1, 2, 1e300], [1, 1, 2, 10**400], [1, 1, 2, float("nan")])
    content = {
        "images": [IMAGE],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{**ENTRY, "id": i, "bbox": box} for i, box in enumerate(boxes)],
    }
    (record,) = _published(_write(tmp_path / "set.json", content), tmp_path).records
    assert record.boxes.tolist() == [[1, 1, 3, 3]]


def test_deep_json(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text("[" * 200_000)
    with pytest.raises(DatasetError, match=r"set\.json: not valid JSON"):
        load_coco(tmp_path / "set.json", tmp_path)


def test_a_voc_list_that_is_no_text(tmp_path: Path) -> None:
    listing = tmp_path / "ImageSets/Main/train.txt"
    listing.parent.mkdir(parents=True)
    listing.write_bytes("a\n".encode("utf-16"))
    with pytest.raises(DatasetError, match=r"train\.txt: not a text file"):
        load_voc(tmp_path, "train")


def test_concatenate(make_record) -> None:
    one, two = Dataset([make_record()], ["a", "b"]), Dataset([make_record()], ["a", "b"])
    both = concatenate([one, two], ["first", "second"])
    assert [record.extra["dataset"] for record in both.records] == ["first", "second"]
    with pytest.raises(DatasetError, match="it has c; it lacks b"):
        concatenate([one, Dataset([], ["a", "c"])])
    swapped = Dataset([make_record(classes=[0])], ["b", "a"])
    assert [record.classes.tolist() for record in concatenate([one, swapped]).records] == [[0], [1]]
    with pytest.raises(DatasetError, match="no data set"):
        concatenate([])


def test_catalog(tmp_path: Path) -> None:
    cfg = get_config()
    cfg.DATASETS.TRAIN = ("coco_2017_train", "coco_2014_valminusminival")
    cfg.DATASETS.TEST = ("coco_2017_val_100",)
    content = _coco({"bbox": [1, 2, 3, 4], "category_id": 2})
    for part in ("train2017", "valminusminival2014", "val2017_100"):
        _write(tmp_path / f"coco/annotations/instances_{part}.json", content)
    dataset = catalog.train_dataset(cfg, tmp_path)
    assert [record.extra["dataset"] for record in dataset.records[1:3]] == list(cfg.DATASETS.TRAIN)
    assert dataset.records[0].path == tmp_path / "coco/train2017/3.jpg"
    assert list(catalog.evaluation_datasets(cfg, tmp_path)) == ["coco_2017_val_100"]
    cfg.MODEL.LOAD_PROPOSALS = True
    with pytest.raises(ConfigError, match="PROPOSAL_FILES_TRAIN needs one file"):
        catalog.train_dataset(cfg, tmp_path)
    with pytest.raises(ConfigError, match="did you mean coco_2017_train"):
        catalog.load_dataset("coco_2017_trian", tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "coco_2017_train_panoptic_separated",
        "coco_2017_val_100_panoptic_stuffonly",
        "keypoints_coco_2017_val_100",
        "lvis_v0.5_val",
        "lvis_v1_train",
        "cityscapes_fine_instance_seg_train",
        "voc_2007_test",
    ],
)
def test_names_of_the_configs_are_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        catalog.load_dataset(name, tmp_path)
