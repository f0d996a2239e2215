"""A user's COCO files, read from an index and from a folder: both give the same records."""

import gzip
import json
import math
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from app.engine.data.datasets.coco import coco_dataset
from app.engine.data.formats import FORMATS, Conventions, Reading
from app.engine.data.formats import _coco_objects as kinds
from app.engine.data.formats._coco_file import UNKNOWN_IMAGE, read_content
from app.engine.data.formats._coco_folder import NAMELESS, NOT_THERE
from app.engine.data.formats._coco_masks import parse_segmentation
from app.engine.data.formats._coco_names import TWO_IMAGES
from app.engine.data.formats._frames import MOVED, SCALED, TURNED
from app.engine.data.formats._records import CLIPPED, INVERTED, NO_IMAGE
from app.engine.data.formats.coco import LOST, NO_FILE, UNLISTED
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.evaluation.instances import object_areas
from app.engine.structures.class_names import UNKNOWN_CLASS
from app.engine.structures.record import ImageRecord

NAMES = ["cat", "dog"]
BOX = {"bbox": [3, 4, 10, 10]}
READ = [[3, 4, 13, 14]]
SQUARE = [3, 4, 13, 4, 13, 14, 3, 14]


def _content(*annotations: dict[str, Any], **image: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24, **image}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 2, **entry}
            for i, entry in enumerate(annotations, start=1)
        ],
    }


@dataclass(frozen=True)
class Read:
    """What one way to read a file gave."""

    records: list[ImageRecord]
    problems: Problems

    @property
    def record(self) -> ImageRecord:
        (record,) = self.records
        return record


def _read_index(images: list[Path], content: Any, conventions: Conventions | None = None) -> Read:
    path = _written(images[0].parent, content)
    reading = Reading(NAMES, conventions or Conventions())
    return Read(FORMATS["coco"]([(image, path) for image in images], reading), reading.problems)


def _read_folder(images: list[Path], content: Any, conventions: Conventions | None = None) -> Read:
    path = _written(images[0].parent, content)
    reading = Reading([], conventions or Conventions())
    folder = images[0].parent
    dataset = coco_dataset(read_content(path), path, folder, reading, is_published=False)
    return Read(dataset.records, reading.problems)


def _written(folder: Path, content: Any) -> Path:
    path = folder / "instances.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


both_ways = pytest.mark.parametrize(
    "read", [pytest.param(_read_index, id="index"), pytest.param(_read_folder, id="folder")]
)


@both_ways
def test_plain_boxes(save_image, read) -> None:
    entry = {"bbox": [3, 4, 10, 10], "segmentation": {}, "iscrowd": 0, "confidence": -1.0}
    crowd = {"bbox": [0.5, 0, 2, 2], "category_id": 1, "iscrowd": 1, "area": 4}
    found = read([save_image()], _content(entry, crowd))
    assert found.record.boxes.tolist() == [[3, 4, 13, 14], [0.5, 0, 2.5, 2]]
    assert found.record.classes.tolist() == [1, 0]
    assert found.record.crowd.tolist() == [False, True]
    assert found.record.segmentations is None
    assert object_areas(found.record).tolist() == [100, 4]
    assert found.problems.total == 0


@both_ways
@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({"annotations": []}, id="empty"),
        pytest.param({}, id="missing"),
        pytest.param({"annotations": None}, id="null"),
        pytest.param({"annotations": {}}, id="empty mapping"),
    ],
)
def test_a_file_without_annotations(save_image, read, annotations) -> None:
    content = _content()
    del content["annotations"]
    assert len(read([save_image()], {**content, **annotations}).record) == 0


@both_ways
@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        pytest.param({"bbox": ["3", "4.0", " 10", 10]}, "", id="numbers as text"),
        pytest.param({"bbox": "[3, 4, 10, 10]"}, "", id="all of it as text"),
        pytest.param({"bbox": "3 4 10.0 10"}, "", id="text without commas"),
        pytest.param({"bbox": [[3, 4, 10, 10]]}, "", id="a list around it"),
        pytest.param({"bbox": {"x": 3, "y": 4, "width": 10, "height": 10}}, "", id="named"),
        pytest.param({"bbox": {"x": 3, "y": 4, "w": "10", "h": 10}}, "", id="named in short"),
        pytest.param({"bbox": {"xmin": 3, "ymin": 4, "xmax": 13, "ymax": 14}}, "", id="corners"),
        pytest.param({"bbox": [13, 14, -10, -10]}, INVERTED, id="negative"),
        pytest.param({"bbox": [13, 4, -10, 10]}, INVERTED, id="negative width"),
        pytest.param({"bbox": ["3", "14", "10", "-10"]}, INVERTED, id="negative height as text"),
    ],
)
def test_odd_boxes_are_read(save_image, read, entry, kind) -> None:
    found = read([save_image()], _content(entry))
    assert found.record.boxes.tolist() == READ
    assert list(found.problems.with_effect(Effect.CHANGED)) == [kind] * bool(kind)
    assert found.problems.total == bool(kind)


@both_ways
@pytest.mark.parametrize(
    ("bbox", "kind"),
    [
        pytest.param([0, 0, 0, 0], "box without area (dropped)", id="zeros"),
        pytest.param([3, 4, 10, 0], "box without area (dropped)", id="no height"),
        pytest.param(None, kinds.NO_BOX, id="null"),
        pytest.param([], kinds.NO_BOX, id="empty"),
        pytest.param([3, 4, 10], kinds.NO_BOX, id="three numbers"),
        pytest.param([3, 4, 10, 10, 45], kinds.NO_BOX, id="five numbers"),
        pytest.param([3, 4, 13, 4, 13, 14, 3, 14], kinds.NO_BOX, id="eight numbers"),
        pytest.param([3, 4, 10, "x"], kinds.NO_BOX, id="a word"),
        pytest.param("3,5 4,5", kinds.NO_BOX, id="decimal commas"),
        pytest.param(["3,5", "4,5", "10,0", "10,0"], kinds.NO_BOX, id="a list of decimal commas"),
        pytest.param([3, 4, 10, None], kinds.NO_BOX, id="a null in it"),
        pytest.param([1, 1, 2, 10**400], kinds.NO_BOX, id="beyond floating point"),
        pytest.param({"x": 3, "y": 4}, kinds.NO_BOX, id="half a mapping"),
        pytest.param({"left": 3, "width": 4}, kinds.NO_BOX, id="another mapping"),
        pytest.param(
            [3, 4, math.nan, 10], "box with a coordinate that is no number (dropped)", id="NaN"
        ),
        pytest.param(
            [3, 4, math.inf, 10], "box with a coordinate that is no number (dropped)", id="infinite"
        ),
    ],
)
def test_without_a_box_the_mask_gives_one(save_image, read, bbox, kind) -> None:
    """Without a mask the object is dropped, and counted."""
    found = read([save_image()], _content({"bbox": bbox, "segmentation": [SQUARE], "area": 9}))
    assert found.record.boxes.tolist() == READ
    assert object_areas(found.record).tolist() == [9]
    assert found.problems.counts == {kinds.FROM_MASK: 1}
    found = read([save_image()], _content({"bbox": bbox, "segmentation": []}))
    assert len(found.record) == 0
    assert found.problems.with_effect(Effect.DROPPED) == {kind: 1}
    assert found.problems.total == 1


def _codes() -> tuple[dict[str, Any], dict[str, Any]]:
    bits = np.zeros((24, 32), dtype=np.uint8)
    bits[4:14, 3:13] = 1
    packed = coco_mask.encode(np.asfortranarray(bits))["counts"].decode()
    plain = [3 * 24 + 4, *[10, 14] * 9, 10, 24 * 32 - (12 * 24 + 14)]
    return {"size": [24, 32], "counts": packed}, {"size": [24, 32], "counts": plain}


PACKED, PLAIN = _codes()
PAIRS = [[3, 4], [13, 4], [13, 14], [3, 14]]


@both_ways
@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param([SQUARE], id="polygon"),
        pytest.param(SQUARE, id="polygon without a list around it"),
        pytest.param(PAIRS, id="pairs"),
        pytest.param([PAIRS], id="pairs in a list"),
        pytest.param([[str(v) for v in SQUARE]], id="numbers as text"),
        pytest.param([SQUARE, SQUARE], id="two polygons"),
        pytest.param(PACKED, id="packed code"),
        pytest.param(PLAIN, id="plain code"),
        pytest.param([PLAIN], id="a code in a list"),
        pytest.param({**PLAIN, "counts": [float(v) for v in PLAIN["counts"]]}, id="float runs"),
        pytest.param({**PLAIN, "counts": [str(v) for v in PLAIN["counts"]]}, id="runs as text"),
        pytest.param({**PACKED, "size": ["24", 32.0]}, id="size as text"),
    ],
)
def test_masks_of_every_kind(save_image, read, segmentation) -> None:
    found = read([save_image()], _content({"segmentation": segmentation}))
    assert found.record.boxes.tolist() == READ
    assert found.problems.counts == {kinds.FROM_MASK: 1}
    (mask,) = found.record.segmentations
    if isinstance(mask, dict):
        assert coco_mask.decode(mask).sum() == 100
    else:
        assert [polygon.tolist() for polygon in mask] == [SQUARE] * len(mask)
    found = read([save_image()], _content({**BOX, "segmentation": segmentation}))
    assert found.problems.total == 0


@both_ways
@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param([[1, 2, 3, 4]], id="two points"),
        pytest.param([1, 2, 3, 4], id="two points without a list around them"),
        pytest.param([[1, 2], [3, 4]], id="two pairs"),
        pytest.param([[1, 2, 3, 4, 5, 6, 7]], id="odd number"),
        pytest.param([[1, 2, 3, 4, 5, "x"]], id="a word"),
        pytest.param([[1, 2, 3, 4, 5, None]], id="a null"),
        pytest.param([[1, 2, 3, 4, 5, math.nan]], id="NaN"),
        pytest.param([["1", "2", "3", "4", "5", "nan"]], id="NaN as text"),
        pytest.param([[10**400] * 6], id="beyond floating point"),
        pytest.param([[[1, 2], [3, 4], [5]]], id="half a pair"),
        pytest.param([[[[1, 2], [3, 4], [5, 6]]]], id="four lists deep"),
        pytest.param({"size": [24, 32], "counts": [1, 2]}, id="runs too short"),
        pytest.param({"size": [24, 32], "counts": [1 << 40, -(1 << 40) + 768]}, id="negative run"),
        pytest.param({"size": [24, 32], "counts": [0.5, 767.5]}, id="half a pixel"),
        pytest.param({"size": [24, 32], "counts": [None]}, id="a run that is null"),
        pytest.param({"size": [32, 24], "counts": [768]}, id="size transposed"),
        pytest.param({"size": [48, 64], "counts": [48 * 64]}, id="another size"),
        pytest.param({"size": [24], "counts": [768]}, id="size of one side"),
        pytest.param({"size": None, "counts": [768]}, id="no size"),
        pytest.param({"size": [24, 32], "counts": "~~~"}, id="code of other letters"),
        pytest.param({"size": [24, 32], "counts": "P"}, id="code that ends early"),
        pytest.param({"size": [24, 32], "counts": "oooooooooooooo0"}, id="code of a huge run"),
        pytest.param({"size": [24, 32], "counts": 1.5}, id="counts is a number"),
        pytest.param({"size": [24, 32], "counts": {"a": 1}}, id="counts is a mapping"),
        pytest.param("mask", id="text"),
        pytest.param(7, id="a number"),
    ],
)
def test_a_broken_mask_leaves_the_box(save_image, read, segmentation: Any) -> None:
    found = read([save_image()], _content({**BOX, "segmentation": segmentation}))
    assert found.record.boxes.tolist() == READ
    assert found.record.segmentations is None
    assert found.problems.counts[kinds.BROKEN_MASK] == 1


@both_ways
def test_a_broken_polygon_is_left_out_of_its_mask(save_image, read) -> None:
    entry = {**BOX, "segmentation": [SQUARE, [1, 2, 3, 4]]}
    found = read([save_image()], _content(entry))
    assert [polygon.tolist() for polygon in found.record.segmentations[0]] == [SQUARE]
    assert found.problems.counts == {kinds.BROKEN_POLYGON: 1}


@both_ways
@pytest.mark.parametrize(
    ("value", "is_crowd", "is_told"),
    [
        pytest.param(0, False, False, id="0"),
        pytest.param(1, True, False, id="1"),
        pytest.param(False, False, False, id="false"),
        pytest.param(True, True, False, id="true"),
        pytest.param(1.0, True, False, id="1.0"),
        pytest.param(None, False, False, id="null"),
        pytest.param("0", False, True, id="text 0"),
        pytest.param("1", True, True, id="text 1"),
        pytest.param("false", False, True, id="text false"),
        pytest.param("True", True, True, id="text True"),
        pytest.param("", False, True, id="no text"),
        pytest.param("maybe", False, True, id="another word"),
        pytest.param(2, True, True, id="another number"),
        pytest.param(math.nan, False, True, id="NaN"),
        pytest.param([1], False, True, id="a list"),
    ],
)
def test_iscrowd_in_every_word(save_image, read, value, is_crowd, is_told) -> None:
    found = read([save_image()], _content({**BOX, "iscrowd": value}))
    assert found.record.crowd.tolist() == [is_crowd]
    assert found.problems.counts == ({kinds.ODD_CROWD: 1} if is_told else {})


@both_ways
@pytest.mark.parametrize(
    ("value", "area", "is_told"),
    [
        pytest.param({"area": 50}, 50, False, id="a number"),
        pytest.param({"area": "50.5"}, 50.5, False, id="text"),
        pytest.param({}, 100, False, id="missing"),
        pytest.param({"area": None}, 100, False, id="null"),
        pytest.param({"area": 0}, 100, False, id="0"),
        pytest.param({"area": -7}, 100, True, id="negative"),
        pytest.param({"area": math.nan}, 100, True, id="NaN"),
        pytest.param({"area": "big"}, 100, True, id="a word"),
        pytest.param({"area": [1]}, 100, True, id="a list"),
    ],
)
def test_areas(save_image, read, value, area, is_told) -> None:
    """What the file does not say is that of the mask, or of the box."""
    other = {"bbox": [1, 1, 2, 2], "area": 3}
    for mask in ({}, {"segmentation": PACKED}):
        found = read([save_image()], _content({**BOX, **mask, **value}, other))
        assert object_areas(found.record).tolist() == [area, 3]
        assert found.problems.counts == ({kinds.ODD_AREA: 1} if is_told else {})


@both_ways
@pytest.mark.parametrize(
    ("attributes", "box", "is_told"),
    [
        pytest.param({"rotation": 90.0}, [8, 4, 12, 24], True, id="90 degrees"),
        pytest.param({"rotation": "-90"}, [8, 4, 12, 24], True, id="as text"),
        pytest.param({"rotation": 0.0}, [0, 12, 20, 16], False, id="0 degrees"),
        pytest.param({"rotation": 180}, [0, 12, 20, 16], False, id="180 degrees"),
        pytest.param({"rotation": "no"}, [0, 12, 20, 16], False, id="a word"),
        pytest.param({"rotation": math.nan}, [0, 12, 20, 16], False, id="NaN"),
        pytest.param({"occluded": True}, [0, 12, 20, 16], False, id="no rotation"),
        pytest.param(None, [0, 12, 20, 16], False, id="null"),
        pytest.param(["rotation"], [0, 12, 20, 16], False, id="a list"),
    ],
)
def test_rotated_boxes_are_enclosed(save_image, read, attributes, box, is_told) -> None:
    found = read([save_image()], _content({"bbox": [0, 12, 20, 4], "attributes": attributes}))
    assert found.record.boxes[0].tolist() == pytest.approx(box)
    assert found.problems.with_effect(Effect.CHANGED) == ({kinds.ROTATED: 1} if is_told else {})


@both_ways
def test_a_rotated_box_is_enclosed_inside_its_image(save_image, read) -> None:
    entry = {"bbox": [0, 0, 20, 20], "attributes": {"rotation": 45}}
    found = read([save_image()], _content(entry))
    assert found.record.boxes[0].tolist() == pytest.approx([0, 0, 24.142136, 24])
    assert CLIPPED not in found.problems.counts
    masked = {**entry, "segmentation": [SQUARE]}
    assert read([save_image()], _content(masked)).record.boxes.tolist() == READ


@both_ways
def test_objects_marked_with_ignore_are_learnt_from_but_not_evaluated(save_image, read) -> None:
    values = [0, 1, "0", "true", None]
    found = read([save_image()], _content(*({**BOX, "ignore": value} for value in values)))
    assert found.record.difficult.tolist() == [False, True, False, True, False]
    assert found.problems.counts == {kinds.IGNORED: 2}


@both_ways
@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        pytest.param(1, 1, id="numbers"),
        pytest.param(1, "1", id="text in the annotation"),
        pytest.param("1", 1, id="text in the image"),
        pytest.param(1, 1.0, id="1.0"),
        pytest.param(1, "1.0", id="text 1.0"),
        pytest.param("0001", 1, id="text with zeros"),
        pytest.param("a-7", "a-7", id="a word"),
        pytest.param("a-7", " a-7 ", id="a word with blanks"),
        pytest.param(-3, "-3", id="negative"),
        pytest.param(2**60 + 1, str(2**60 + 1), id="beyond floating point"),
    ],
)
def test_ids_are_the_same_number(save_image, read, image, annotation) -> None:
    content = _content({**BOX, "image_id": annotation, "category_id": annotation}, id=image)
    content["categories"] = [{"id": image, "name": "cat"}]
    found = read([save_image()], content)
    assert found.record.boxes.tolist() == READ
    assert found.problems.total == 0


@both_ways
@pytest.mark.parametrize("value", [9, "x", None, True, 1.5, [1], {}], ids=repr)
def test_what_belongs_to_nothing_is_counted(save_image, read, value) -> None:
    """Truth values are no numbers, though Python has true == 1."""
    content = _content(BOX, {**BOX, "image_id": value}, {**BOX, "category_id": value})
    found = read([save_image()], content)
    assert len(found.record) == 1
    assert found.problems.with_effect(Effect.DROPPED) == {
        UNKNOWN_IMAGE: 1,
        kinds.UNLISTED_CATEGORY: 1,
    }


@both_ways
def test_annotations_that_are_no_objects_are_counted(save_image, read) -> None:
    content = _content(BOX)
    content["annotations"] += [7, None, [1]]
    found = read([save_image()], content)
    assert len(found.record) == 1
    assert found.problems.with_effect(Effect.DROPPED) == {
        "annotation that is no object (dropped)": 3
    }


def test_classes_are_known_by_name(save_image) -> None:
    content = _content({**BOX, "category_id": 7}, {**BOX, "category_id": 8}, BOX)
    content["categories"] = [
        {"id": 7, "name": " Cat ", "supercategory": 5},
        {"id": 8, "name": "bird"},
        {"id": "2", "name": "dog"},
        {"id": 9},
    ]
    found = _read_index([save_image()], content)
    assert found.record.classes.tolist() == [0, 1]
    assert found.problems.with_effect(Effect.DROPPED) == {UNKNOWN_CLASS: 1}


def test_two_categories_of_one_name_are_one_class(save_image) -> None:
    content = _content({**BOX, "category_id": 7}, BOX)
    content["categories"] = [{"id": 7, "name": "dog"}, {"id": 2, "name": "dog"}]
    assert _read_index([save_image()], content).record.classes.tolist() == [1, 1]
    path = _written(save_image().parent, content)
    dataset = coco_dataset(
        read_content(path), path, path.parent, reading := Reading([]), is_published=False
    )
    assert (dataset.class_names, dataset.category_ids) == (["dog"], [2])
    assert dataset.records[0].classes.tolist() == [0, 0]
    assert [kind for kind in reading.problems.counts if "two categories" in kind]


@both_ways
@pytest.mark.parametrize(
    "size",
    [
        pytest.param({"width": None, "height": None}, id="null"),
        pytest.param({"width": "32", "height": "24"}, id="text"),
        pytest.param({"width": 32.0, "height": 24.0}, id="floats"),
        pytest.param({"width": 0, "height": 0}, id="zeros"),
        pytest.param({"width": -32, "height": 24}, id="negative"),
        pytest.param({"width": "wide", "height": math.nan}, id="a word and NaN"),
    ],
)
def test_sizes_that_say_nothing_are_those_of_the_image(save_image, read, size) -> None:
    found = read([save_image()], _content(BOX, **size))
    assert found.record.size == (24, 32)
    assert found.record.boxes.tolist() == READ
    assert found.problems.total == 0


def _turned(folder: Path) -> Path:
    """A photograph, stored 24 pixels high and 32 wide, that EXIF turns to the right."""
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "a.png", exif=exif)
    return folder / "a.png"


@both_ways
def test_a_scaled_copy_is_told_and_a_setting_accepts_it(save_image, read) -> None:
    image = save_image(size=(48, 64))
    small = _content({**BOX, "segmentation": PACKED, "area": 100})
    with pytest.raises(DatasetError) if read is _read_folder else nullcontext():
        found = read([image], small)
        assert found.records == []
        assert found.problems.with_effect(Effect.BROKEN) == {SCALED: 1}
        assert found.problems.with_effect(Effect.DROPPED) == {LOST: 1}
        assert "annotated 32x24, image 64x48, 2 times" in found.problems.examples(SCALED)[0]
    found = read([image], small, Conventions(frame="scaled"))
    assert found.record.boxes.tolist() == [[6, 8, 26, 28]]
    assert object_areas(found.record).tolist() == [400]
    bits = coco_mask.decode(found.record.segmentations[0])
    assert bits.shape == (48, 64)
    assert bits[8:28, 6:26].all()
    assert bits.sum() == 400
    assert found.problems.counts == {MOVED["scaled"]: 1}


@both_ways
def test_a_turned_photograph_stops_unless_a_setting_says_its_frame(tmp_path: Path, read) -> None:
    image = _turned(tmp_path)
    content = _content({**BOX, "segmentation": PACKED}, {"segmentation": [SQUARE]})
    if read is _read_folder:
        with pytest.raises(DatasetError, match=r"annotated_frame .* shown; .* stored; .* scaled"):
            read([image], content)
    else:
        assert read([image], content).problems.with_effect(Effect.STOPS) == {TURNED: 1}
    shown = read([image], content, Conventions(frame="shown"))
    assert shown.record.boxes.tolist() == READ * 2
    stored = read([image], content, Conventions(frame="stored"))
    assert stored.record.size == (32, 24)
    assert stored.record.boxes.tolist() == [[10, 3, 20, 13]] * 2
    code, polygons = stored.record.segmentations
    assert coco_mask.decode(code)[3:13, 10:20].all()
    assert coco_mask.decode(code).sum() == 100
    assert polygons[0].tolist() == [20, 3, 20, 13, 10, 13, 10, 3]
    scaled = read([image], content, Conventions(frame="scaled"))
    assert scaled.record.boxes[0].tolist() == pytest.approx([2.25, 16 / 3, 9.75, 56 / 3])


@both_ways
@pytest.mark.parametrize(
    ("boxes", "x1"),
    [
        pytest.param([[20, 2, 8, 4]], 28 * 24 / 32, id="beyond the shown width: scaled"),
        pytest.param([[2, 20, 8, 10]], 10, id="beyond the stored height: as shown"),
        pytest.param([[2, 2, 8, 4]], None, id="neither: open"),
        pytest.param([[20, 2, 8, 4], [2, 20, 8, 10]], None, id="both: open"),
    ],
)
def test_label_studio_leaves_its_frame_to_the_numbers(tmp_path: Path, read, boxes, x1) -> None:
    image = _turned(tmp_path)
    content = _content(*({"bbox": box, "segmentation": []} for box in boxes))
    content["info"] = {"contributor": "Label Studio"}
    if x1 is None:
        with (
            pytest.raises(DatasetError, match="annotated_frame")
            if read is _read_folder
            else nullcontext()
        ):
            assert read([image], content).problems.with_effect(Effect.STOPS) == {TURNED: 1}
        return
    found = read([image], content)
    assert found.record.boxes[0, 2] == pytest.approx(x1)
    assert found.problems.with_effect(Effect.CHANGED)


@both_ways
def test_polygons_of_label_studio_are_scaled(tmp_path: Path, read) -> None:
    content = _content({"bbox": [8, 3, 16, 12], "segmentation": [[8, 3, 24, 3, 24, 15]]})
    content["info"] = {"contributor": "Label Studio"}
    found = read([_turned(tmp_path)], content)
    assert found.record.boxes.tolist() == [[6, 4, 18, 20]]
    assert found.record.segmentations[0][0].tolist() == [6, 4, 18, 4, 18, 20]


@both_ways
def test_objects_of_unreadable_images_are_counted(save_image, read) -> None:
    damaged = save_image().with_name("b.png")
    damaged.write_bytes(b"no picture")
    content = _content(BOX, {**BOX, "image_id": 2}, {**BOX, "image_id": "2"})
    content["images"].append({"id": 2, "file_name": "b.png", "width": 32, "height": 24})
    found = read([save_image(), damaged], content)
    assert found.record.path.name == "a.png"
    assert found.problems.counts == {NO_IMAGE: 1, LOST: 2}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param('{"images": [\n{"id": 1},\n]}', id="trailing comma"),
        pytest.param("[]", id="empty list"),
        pytest.param('[{"image_id": 1, "bbox": []}]', id="results"),
        pytest.param("null", id="null"),
        pytest.param('{"images": 3, "categories": []}', id="images is a number"),
        pytest.param('{"images": [[]], "categories": []}', id="an image is a list"),
        pytest.param('{"images": [{}], "categories": []}', id="an image without an id"),
        pytest.param('{"images": [{"id": true}], "categories": []}', id="an id is true"),
        pytest.param('{"categories": []}', id="no images"),
        pytest.param('{"images": []}', id="no categories"),
        pytest.param('{"images": [], "categories": ["cat"]}', id="a category is a text"),
        pytest.param('{"images": [], "categories": [{"id": []}]}', id="a category id is a list"),
        pytest.param(
            '{"images": [], "categories": [{"id": 1, "name": "a"}, {"id": "1", "name": "b"}]}',
            id="two categories share an id",
        ),
        pytest.param('{"images": [], "categories": [], "annotations": 3}', id="a number"),
        pytest.param('{"images": [], "categories": [], "annotations": true}', id="true"),
        pytest.param(
            '{"images": [], "categories": [], "annotations": [], "images": []}', id="twice"
        ),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(b'{"images": [{"file_name": "\xe9.png"}]}', id="not UTF-8"),
        pytest.param(b"\x1f\x8b\x08damaged", id="damaged gzip"),
    ],
)
def test_no_coco_file(save_image, content: str | bytes) -> None:
    image = save_image()
    found = _read_index([image, save_image("b.png")], content)
    assert found.records == []
    assert found.problems.counts == {NO_FILE: 2}
    assert "instances.json: " in found.problems.examples(NO_FILE)[0]
    with pytest.raises(DatasetError, match=r"instances\.json: "):
        _read_folder([image], content)


@both_ways
@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: text.encode("utf-8-sig"), id="byte order mark"),
        pytest.param(lambda text: text.encode("utf-16"), id="UTF-16"),
        pytest.param(lambda text: text.encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(lambda text: text.encode("utf-32"), id="UTF-32"),
        pytest.param(lambda text: gzip.compress(text.encode()), id="gzip"),
        pytest.param(lambda text: f"[{text}]".encode(), id="in a list"),
    ],
)
def test_encodings(save_image, read, encode) -> None:
    found = read([save_image()], encode(json.dumps(_content(BOX))))
    assert found.record.boxes.tolist() == READ
    assert found.problems.total == 0


@both_ways
@pytest.mark.parametrize(
    "images",
    [
        pytest.param({"id": 1, "file_name": "a.png"}, id="a single image"),
        pytest.param({"1": {"file_name": "a.png"}}, id="a mapping from ids"),
        pytest.param({"x": {"id": 1, "file_name": "a.png"}}, id="a mapping of images"),
    ],
)
def test_lists_that_are_none(save_image, read, images) -> None:
    content = _content(BOX)
    content["images"] = images
    content["annotations"] = content["annotations"][0]
    content["categories"] = {"2": {"name": "dog"}}
    assert read([save_image()], content).record.boxes.tolist() == READ


@pytest.mark.parametrize(
    "name",
    [
        pytest.param({"path": "/data/a.png"}, id="path"),
        pytest.param({"file_name": None, "coco_url": "http://host/a.png"}, id="coco_url"),
        pytest.param({"file_name": "", "filename": "a.png"}, id="filename"),
    ],
)
@both_ways
def test_other_keys_have_the_name(save_image, read, name) -> None:
    content = _content(BOX)
    content["images"] = [{"id": 1, **name}]
    assert read([save_image()], content).record.boxes.tolist() == READ


def test_images_without_a_name(save_image) -> None:
    content = _content(BOX, {**BOX, "image_id": 2})
    content["images"].append({"id": 2})
    assert len(_read_index([save_image()], content).records) == 1
    found = _read_folder([save_image()], content)
    assert found.problems.counts == {NAMELESS: 1, LOST: 1}


def test_an_image_that_the_file_does_not_list(save_image) -> None:
    found = _read_index([save_image("b.png")], _content())
    assert found.records == []
    assert found.problems.counts == {UNLISTED: 1}
    (example,) = found.problems.examples(UNLISTED)
    assert "b.png" in example
    assert "for example a.png" in example


def test_a_listed_image_that_is_not_in_the_folder(save_image) -> None:
    content = _content(BOX, {**BOX, "image_id": 2})
    content["images"].append({"id": 2, "file_name": "train/z.png"})
    found = _read_folder([save_image()], content)
    assert found.problems.counts == {NOT_THERE: 1, LOST: 1}
    (example,) = found.problems.examples(NOT_THERE)
    assert "train/z.png" in example
    assert "for example" in example
    content["images"].pop(0)
    with pytest.raises(DatasetError, match="none of its images can be used"):
        _read_folder([save_image()], content)


@both_ways
def test_images_that_share_an_id_stop_the_set(save_image, read) -> None:
    images = [save_image("a.png"), save_image("b.png")]
    content = _content(BOX)
    content["images"].append({"id": "1", "file_name": "b.png"})
    if read is _read_folder:
        with pytest.raises(DatasetError, match=r"share an id.*1: a\.png and b\.png"):
            read(images, content)
    else:
        problems = read(images, content).problems
        (kind,) = problems.with_effect(Effect.STOPS)
        assert problems.examples(kind)[0].startswith("1: a.png and b.png in ")


@both_ways
def test_an_image_that_is_listed_twice_stops_the_set(save_image, read) -> None:
    content = _content(BOX)
    content["images"].append({"id": 2, "file_name": "a.png"})
    if read is _read_folder:
        with pytest.raises(DatasetError, match=r"a\.png \(id 1\) and a\.png \(id 2\)"):
            read([save_image()], content)
    else:
        problems = read([save_image()], content).problems
        (kind,) = problems.with_effect(Effect.STOPS)
        assert "a.png (id 1) and a.png (id 2)" in problems.examples(kind)[0]


@pytest.mark.parametrize(
    ("name", "is_shared"),
    [
        pytest.param("cam2/a.png", True, id="another image of its name"),
        pytest.param("cam1/a.png", False, id="the same image"),
    ],
)
def test_an_entry_is_one_image_in_all_sets_of_a_task(
    tmp_path: Path, save_image, name: str, is_shared: bool
) -> None:
    """Validation images must not take what the training has taken by their base name."""
    for folder in ("cam1", "cam2"):
        (tmp_path / folder).mkdir()
        save_image(f"{folder}/a.png")
    path = _written(tmp_path, _content(BOX))
    training = Reading(NAMES)
    FORMATS["coco"]([(tmp_path / "cam1/a.png", path)], training)
    validation = Reading(NAMES, decisions=training.decisions)
    FORMATS["coco"]([(tmp_path / name, path)], validation)
    assert validation.problems.with_effect(Effect.STOPS) == ({TWO_IMAGES: 1} if is_shared else {})
    if is_shared:
        (example,) = validation.problems.examples(TWO_IMAGES)
        assert "cam1/a.png and " in example


def test_several_files_and_an_image_in_the_index_twice(tmp_path: Path, save_image) -> None:
    pairs = []
    for number, name in enumerate(("b.png", "a.png", "c.png")):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(_content({"bbox": [number, 0, 9, 9]}, file_name=name)))
        pairs.append((save_image(name), path))
    reading = Reading(NAMES)
    records = FORMATS["coco"]([*pairs, (pairs[0][0], pairs[1][1])], reading)
    assert [record.path.name for record in records] == ["b.png", "a.png", "c.png"]
    assert [record.boxes[0, 0] for record in records] == [0, 1, 2]
    assert [record.image_id for record in records] == [0, 1, 2]
    assert reading.problems.with_effect(Effect.LEFT_OUT)


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
