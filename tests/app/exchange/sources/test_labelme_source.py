"""LabelMe: shapes, groups, and where the image is."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from app.engine.data.formats import Conventions
from app.engine.data.problems import Effect
from app.exchange.sources import _drawings as drawings
from app.exchange.sources._json import NO_JSON
from app.exchange.sources._pairing import NO_IMAGE
from app.exchange.sources._source import UNLABELLED
from app.exchange.sources.labelme import BROKEN_MASK, EMBEDDED, OTHER_JSON
from tests.app.exchange.conftest import Reader, counts
from tests.app.exchange.scenes import paint

SIZE = (40, 24)


def png(array: Any) -> str:
    """A picture as LabelMe writes it into JSON."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def write(path: Path, shapes: list[Any], **more: Any) -> None:
    """Write a file for an image of 40 x 24 called a.png."""
    content = {"shapes": shapes, "imagePath": "a.png", "imageData": None}
    size = {"imageWidth": SIZE[0], "imageHeight": SIZE[1]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **size, **more}))


def shape(kind: str | None, *points: Any, **more: Any) -> dict[str, Any]:
    """A shape called cat."""
    return {"label": "cat", "shape_type": kind, "points": points, "group_id": None, **more}


ELL = np.array([[1, 0, 0], [1, 1, 1]], dtype=bool)


@pytest.mark.parametrize(
    ("found", "box", "problems"),
    [
        pytest.param(shape("rectangle", [9, 8], [2, 3]), [2, 3, 9, 8], {}, id="rectangle"),
        pytest.param(
            shape("rectangle", [2, 3], [9, 3], [9, 8], [2, 8]), [2, 3, 9, 8], {}, id="four corners"
        ),
        pytest.param(shape("polygon", [2, 3], [9, 3], [5, 8]), [2, 3, 9, 8], {}, id="polygon"),
        pytest.param(shape(None, [2, 3], [9, 3], [5, 8]), [2, 3, 9, 8], {}, id="no type"),
        pytest.param(
            shape("circle", [10, 10], [13, 14]),
            [5, 5, 15, 15],
            {drawings.ROUND: 1},
            id="circle of radius 5",
        ),
        pytest.param(
            shape("rotation", [10, 2], [14, 6], [10, 10], [6, 6]),
            [6, 2, 14, 10],
            {drawings.ROTATED: 1},
            id="rotated",
        ),
        pytest.param(
            shape("mask", [5, 4], [7, 5], mask=png(ELL)), [5, 4, 8, 6], {}, id="bitmap, 3 x 2"
        ),
        pytest.param(
            shape("mask", [5, 4], [9, 9], mask="?"), [5, 4, 9, 9], {BROKEN_MASK: 1}, id="no bitmap"
        ),
    ],
)
def test_shapes(
    source: Path, reader: Reader, found: Any, box: list[float], problems: dict[str, int]
) -> None:
    paint(source / "a.png", SIZE)
    write(source / "a.json", [found])
    content = reader.content("labelme")
    ((name, read),) = reader.boxes_in(content)["a.png"]
    assert name == "cat"
    assert read == pytest.approx(box, abs=0.02)
    assert counts(content) == problems


def test_masks(source: Path, reader: Reader) -> None:
    paint(source / "a.png", SIZE)
    circle = shape("circle", [20, 12], [20, 17])
    write(source / "a.json", [shape("mask", [5, 4], [7, 5], mask=png(ELL)), circle])
    (record,) = reader.content("labelme").records
    assert record.segmentations is not None
    code, polygon = record.segmentations
    expected = np.zeros((24, 40))
    expected[4:6, 5:8] = ELL
    assert np.array_equal(coco_mask.decode(code), expected)
    area = coco_mask.area(coco_mask.merge(coco_mask.frPyObjects([*map(list, polygon)], 24, 40)))
    assert area == pytest.approx(np.pi * 25, rel=0.05)


def test_polygons_of_a_group_are_one_object(source: Path, reader: Reader) -> None:
    paint(source / "a.png", SIZE)
    one, two = ([1, 1], [5, 1], [5, 5]), ([9, 9], [15, 9], [15, 20])
    bitmap = shape("mask", [30, 4], [32, 5], mask=png(ELL), group_id=1)
    parts = [shape("polygon", *one, group_id=1), shape("polygon", *two, group_id=1), bitmap]
    other = {**shape("polygon", *two, group_id=1), "label": "dog"}
    write(source / "a.json", [*parts, other, shape("polygon", *one, group_id=2)])
    content = reader.content("labelme")
    assert reader.boxes_in(content)["a.png"] == [
        ("cat", [1, 1, 15, 20]),
        ("cat", [30, 4, 33, 6]),
        ("dog", [9, 9, 15, 20]),
        ("cat", [1, 1, 5, 5]),
    ]
    masks = content.records[0].segmentations
    assert masks is not None
    assert [ring.tolist() for ring in masks[0]] == [[1, 1, 5, 1, 5, 5], [9, 9, 15, 9, 15, 20]]
    assert counts(content) == {drawings.GROUPED: 1}


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        pytest.param(shape("point", [1, 1]), drawings.NO_AREA, id="point"),
        pytest.param(shape("linestrip", [1, 1], [2, 2]), drawings.NO_AREA, id="line"),
        pytest.param(shape("polygon", [1, 1], [2, 2]), drawings.FEW_POINTS, id="two points"),
        pytest.param(shape("star", [1, 1], [2, 2]), drawings.NOT_NUMBERS, id="unknown"),
        pytest.param(shape("rectangle"), drawings.NOT_NUMBERS, id="no points"),
        pytest.param(shape("rectangle", ["x", 1], [2, 2]), drawings.NOT_NUMBERS, id="words"),
        pytest.param(shape("polygon", [1, 1], [2], [3, 3]), drawings.NOT_NUMBERS, id="ragged"),
        pytest.param(
            {**shape("rectangle", [1, 1], [5, 5]), "label": " "}, drawings.NO_CLASS, id="-"
        ),
        pytest.param(shape("rectangle", [1, 1], [1, 5]), "box without area (dropped)", id="flat"),
        pytest.param(7, drawings.NOT_NUMBERS, id="no shape"),
    ],
)
def test_what_is_dropped(source: Path, reader: Reader, found: Any, kind: str) -> None:
    paint(source / "a.png", SIZE)
    write(source / "a.json", [found, shape("rectangle", [2, 3], [9, 8])])
    content = reader.content("labelme")
    assert reader.boxes_in(content) == {"a.png": [("cat", [2, 3, 9, 8])]}
    assert content.reading.problems.with_effect(Effect.DROPPED) == {kind: 1}


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        pytest.param("a.json", "a.png", id="beside it"),
        pytest.param("json/a.json", r"..\a.png", id="as Windows writes it"),
        pytest.param("json/a.json", "/home/me/a.png", id="elsewhere once"),
        pytest.param("json/b.json", "x/a.png", id="another name"),
    ],
)
def test_where_the_image_is(source: Path, reader: Reader, annotation: str, said: str) -> None:
    paint(source / "a.png", SIZE)
    write(source / annotation, [shape("rectangle", [2, 3], [9, 8])], imagePath=said)
    assert reader.boxes("labelme") == {"a.png": [("cat", [2, 3, 9, 8])]}


def test_an_image_in_the_annotation_file(source: Path, reader: Reader) -> None:
    pixels = np.arange(24 * 40 * 3, dtype=np.uint8).reshape(24, 40, 3)
    write(source / "day/a.json", [shape("rectangle", [2, 3], [9, 8])], imageData=png(pixels))
    write(source / "day/b.json", [], imageData="no picture", imagePath="b.png")
    content = reader.content("labelme")
    assert reader.boxes_in(content) == {"day/a.png": [("cat", [2, 3, 9, 8])]}
    assert np.array_equal(np.array(Image.open(content.records[0].path)), pixels)
    assert counts(content) == {EMBEDDED: 1, NO_IMAGE: 1}


def test_other_files_are_told(source: Path, reader: Reader) -> None:
    for name in "ab":
        paint(source / f"{name}.png", SIZE)
    write(source / "a.json", [])
    (source / "broken.json").write_text("{")
    (source / "other.json").write_text("[]")
    assert counts(reader.content("labelme")) == {NO_JSON: 1, OTHER_JSON: 1, UNLABELLED: 1}


def test_a_photograph_that_exif_turns(source: Path, reader: Reader) -> None:
    """LabelMe shows it turned, so its file has the size 24 x 40."""
    exif = Image.Exif()
    exif[274] = 6
    paint(source / "a.png", SIZE, exif=exif)
    write(source / "a.json", [shape("rectangle", [2, 3], [9, 38])], imageWidth=24, imageHeight=40)
    content = reader.content("labelme")
    assert reader.boxes_in(content) == {"a.png": [("cat", [2, 3, 9, 38])]}
    assert counts(content) == {}


def test_a_size_that_is_not_the_image_s(source: Path, reader: Reader) -> None:
    paint(source / "a.png", SIZE)
    write(source / "a.json", [shape("rectangle", [4, 6], [18, 16])], imageWidth=80, imageHeight=48)
    assert reader.boxes("labelme") == {}
    content = reader.content("labelme", conventions=Conventions("scaled"))
    assert reader.boxes_in(content) == {"a.png": [("cat", [2, 3, 9, 8])]}
    write(source / "a.json", [shape("rectangle", [2, 3], [9, 8])], imageWidth=1e9, imageHeight=1e9)
    assert reader.boxes("labelme") == {"a.png": [("cat", [2, 3, 9, 8])]}
