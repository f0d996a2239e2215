"""COCO: several files and folders, equal names, and what other files hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as coco_mask

from app.engine.data.problems import Effect
from app.engine.errors import DatasetError
from app.exchange.sources._source import SEVERAL_SETS, UNLABELLED
from app.exchange.sources.coco import KEYPOINTS, OTHER_JSON, REPEATED, SEVERAL_FILES
from tests.app.exchange.conftest import Reader, counts
from tests.app.exchange.scenes import paint

CAT, DOG = {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}


def write(path: Path, images: dict[str, list[Any]], categories: Any = (CAT, DOG)) -> None:
    """Write a file; each image, 20 x 10, has objects of a category id and a box, or whole ones."""
    entries = [
        {"id": i, "file_name": name, "width": 20, "height": 10} for i, name in enumerate(images)
    ]
    objects = [
        {"image_id": i}
        | (one if isinstance(one, dict) else {"category_id": one[0], "bbox": list(one[1:])})
        for i, found in enumerate(images.values())
        for one in found
    ]
    annotations = [{"id": number, **one} for number, one in enumerate(objects)]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": entries, "annotations": annotations, "categories": list(categories)}
    path.write_text(json.dumps(content))


def test_sets_in_folders_with_the_same_names(source: Path, reader: Reader) -> None:
    for number, name in enumerate(("train2017", "val2017")):
        for image in ("1.png", "2.png"):
            paint(source / name / image, (20, 10), number)
        file = source / f"annotations/instances_{name}.json"
        write(file, {"1.png": [(1, number, 0, 5, 5)], "2.png": []})
    content = reader.content("coco")
    assert reader.boxes_in(content) == {
        "train2017/1.png": [("cat", [0, 0, 5, 5])],
        "train2017/2.png": [],
        "val2017/1.png": [("cat", [1, 0, 6, 5])],
        "val2017/2.png": [],
    }
    assert reader.splits_in(content) == {
        f"{split}2017/{n}.png": split for split in ("train", "val") for n in (1, 2)
    }
    assert counts(content) == {}


def test_an_image_that_is_missing_in_its_set_is_not_taken_from_another(
    source: Path, reader: Reader
) -> None:
    for folder, names in {"train": "13", "val": "12"}.items():
        for name in names:
            paint(source / folder / f"{name}.png", (20, 10))
    write(source / "train.json", {"1.png": [], "2.png": [(1, 0, 0, 5, 5)], "3.png": []})
    write(source / "val.json", {"1.png": [], "2.png": []})
    content = reader.content("coco")
    assert list(reader.boxes_in(content)) == [
        "train/1.png",
        "train/3.png",
        "val/1.png",
        "val/2.png",
    ]
    (missing,) = content.reading.problems.with_effect(Effect.BROKEN).values()
    assert missing == 1
    assert content.num_listed == 5


def test_a_file_beside_the_images_of_each_set(source: Path, reader: Reader) -> None:
    """As Roboflow exports."""
    for folder in ("train", "valid", "test"):
        paint(source / folder / "1.png", (20, 10))
        write(source / folder / "_annotations.coco.json", {"1.png": [(2, 1, 1, 4, 4)]})
    content = reader.content("coco")
    assert reader.splits_in(content) == {
        "train/1.png": "train",
        "valid/1.png": "val",
        "test/1.png": "test",
    }
    assert counts(content) == {}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("cam1/1.png", "cam2/1.png"), id="from the source's folder on"),
        pytest.param(("images/cam1/1.png", "images/cam2/1.png"), id="from a folder above"),
        pytest.param((r"D:\set\cam1\1.png", r"D:\set\cam2\1.png"), id="of another system"),
        pytest.param(("../images/cam1/1.png", "../images/cam2/1.png"), id="with ../"),
    ],
)
def test_images_in_several_folders(source: Path, reader: Reader, names: tuple[str, str]) -> None:
    for number, folder in enumerate(("cam1", "cam2")):
        paint(source / folder / "1.png", (20, 10), number)
    write(source / "labels/all.json", {name: [(1, i, 0, 5, 5)] for i, name in enumerate(names)})
    assert reader.boxes("coco") == {
        "cam1/1.png": [("cat", [0, 0, 5, 5])],
        "cam2/1.png": [("cat", [1, 0, 6, 5])],
    }


def test_bare_names_of_images_in_several_folders(source: Path, reader: Reader) -> None:
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        paint(source / name, (20, 10))
    write(source / "all.json", {f"{n}.png": [] for n in (1, 2, 3)})
    assert list(reader.boxes("coco")) == ["a/1.png", "a/2.png", "b/3.png"]


def test_one_file_and_images_elsewhere(source: Path, tmp_path: Path, reader: Reader) -> None:
    paint(tmp_path / "scratch/x/1.png", (20, 10))
    write(source / "one.json", {"1.png": [(1, 0, 0, 5, 5)]})
    write(source / "other.json", {"1.png": [(2, 0, 0, 5, 5)]})
    boxes = reader.boxes("coco", source / "one.json", images=tmp_path / "scratch")
    assert boxes == {"x/1.png": [("cat", [0, 0, 5, 5])]}


def test_several_files_of_one_image_have_their_objects_joined(source: Path, reader: Reader) -> None:
    paint(source / "1.png", (20, 10))
    write(source / "instances.json", {"1.png": [(1, 0, 0, 5, 5)]}, [DOG, CAT])
    keypoints = {"category_id": 9, "bbox": [0, 0, 5, 5], "keypoints": [1, 1, 2]}
    other = {"category_id": 9, "bbox": [1, 0, 5, 5]}
    write(source / "keypoints.json", {"1.png": [keypoints, other]}, [{"id": 9, "name": "cat"}])
    content = reader.content("coco")
    assert content.reading.class_names == ["cat", "dog"]
    boxes = [("cat", [0, 0, 5, 5]), ("cat", [1, 0, 6, 5])]
    assert reader.boxes_in(content) == {"1.png": boxes}
    assert counts(content) == {SEVERAL_FILES: 1, REPEATED: 1, KEYPOINTS: 1}


def test_an_image_in_two_sets_belongs_to_the_first(source: Path, reader: Reader) -> None:
    paint(source / "1.png", (20, 10))
    for name in ("val", "train"):
        write(source / f"{name}.json", {"1.png": [(1, 0, 0, 5, 5)]})
    content = reader.content("coco")
    assert reader.splits_in(content) == {"1.png": "train"}
    assert counts(content) == {SEVERAL_SETS: 1, SEVERAL_FILES: 1, REPEATED: 1}


def test_masks_and_crowds_are_kept(source: Path, reader: Reader) -> None:
    paint(source / "1.png", (20, 10))
    square = {"size": [10, 20], "counts": [12, 3, 7, 3, 175]}
    entry = {"category_id": 1, "bbox": [1, 2, 2, 3], "segmentation": square, "iscrowd": 1}
    write(source / "a.json", {"1.png": [entry]})
    (record,) = reader.content("coco").records
    assert record.segmentations is not None
    assert coco_mask.decode(record.segmentations[0])[2:5, 1:3].all()
    assert record.crowd is not None
    assert record.crowd.tolist() == [True]


def test_other_files_and_images_are_told(source: Path, reader: Reader) -> None:
    for name in ("1.png", "2.png", "3.png"):
        paint(source / name, (20, 10))
    write(source / "a.json", {"1.png": [(1, 0, 0, 5, 5)]})
    (source / "captions.json").write_text('{"images": [], "annotations": []}')
    content = reader.content("coco")
    assert counts(content) == {OTHER_JSON: 1, UNLABELLED: 2}
    assert content.num_listed == 3


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        pytest.param([{"id": 1}], "category 1 has no name", id="no name"),
        pytest.param([{"name": "cat"}], "has no id", id="no id"),
    ],
)
def test_what_is_refused(source: Path, reader: Reader, categories: Any, words: str) -> None:
    paint(source / "1.png", (20, 10))
    write(source / "a.json", {"1.png": [(1, 0, 0, 5, 5)]}, categories)
    with pytest.raises(DatasetError, match=words):
        reader.content("coco")


def test_a_folder_without_coco_files(source: Path, reader: Reader) -> None:
    with pytest.raises(DatasetError, match="no JSON file here has images and categories"):
        reader.content("coco")
