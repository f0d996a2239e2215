"""Ark files: columns, inclusive maxima, and everything that may be wrong in them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.engine.data.formats import FORMATS, Conventions, Reading
from app.engine.data.formats._class_list import OTHER_ORDER
from app.engine.data.formats._records import ONE_PIXEL
from app.engine.data.formats._text import NO_TEXT
from app.engine.data.formats.ark import FOREIGN
from app.engine.data.problems import Effect, Problems
from app.engine.structures.record import ImageRecord

NAMES = ["cat", "dog"]


def _read(image: Path, text: str | bytes, problems: Problems | None = None) -> list[ImageRecord]:
    annotation = image.with_suffix(".txt")
    annotation.write_bytes(text if isinstance(text, bytes) else text.encode())
    return FORMATS["ark"]([(image, annotation)], Reading(NAMES, problems=problems or Problems()))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("1, 3, 4, 12, 13", id="five columns"),
        pytest.param("1,3,4,12,13,0.5", id="six columns, no spaces"),
        pytest.param("1, 3, 4, 12, 13, 0.75, 0.0", id="seven columns"),
        pytest.param("1, 3, 4, 12, 13, -1.0, 0.0\r\n\r\n", id="Windows line ends"),
        pytest.param("\ufeff1, 3.0, 4.0, 12.0, 13.0", id="floats and a byte order mark"),
        pytest.param("  1 ,\t3 , 4,12 ,13  ", id="blanks and a tab around numbers"),
        pytest.param("1,3,4,12,13".encode("utf-16"), id="UTF-16"),
        pytest.param("1,3,4,12,13".encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(b"1,3,4,12,13\r", id="old line ends"),
    ],
)
def test_columns(save_image, line: str | bytes) -> None:
    problems = Problems()
    (record,) = _read(save_image(), line, problems)
    assert record.boxes.tolist() == [[3, 4, 13, 14]]
    assert record.boxes.dtype == np.float32
    assert record.classes.tolist() == [1]
    assert record.size == (24, 32)
    assert problems.total == 0


def test_whole_image_and_one_pixel_are_boxes(save_image) -> None:
    problems = Problems()
    (record,) = _read(save_image(), "0,0,0,31,23\n0,5,5,5,5", problems)
    assert record.boxes.tolist() == [[0, 0, 32, 24], [5, 5, 6, 6]]
    assert problems.counts == {ONE_PIXEL: 1}


@pytest.mark.parametrize(
    ("line", "kind", "boxes"),
    [
        pytest.param("2,1,1,9,9", "class index outside", [], id="class too large"),
        pytest.param("-1,1,1,9,9", "class index outside", [], id="class negative"),
        pytest.param("0.5,1,1,9,9", "class index outside", [], id="class is no whole number"),
        pytest.param("nan,1,1,9,9", "class index outside", [], id="class is no number"),
        pytest.param("0,1,1,9", "5 to 7 numbers", [], id="four columns"),
        pytest.param("0,1,1,9,x", "5 to 7 numbers", [], id="a word"),
        pytest.param("0,9,1,1,9", "ends before it begins", [[1, 1, 10, 10]], id="inverted"),
        pytest.param("0,nan,1,5,9", "no number", [], id="NaN"),
        pytest.param("0,1,1,inf,9", "no number", [], id="infinite"),
        pytest.param("0,40,1,50,9", "outside its image (dropped)", [], id="outside"),
        pytest.param("0,-5,1,40,9", "partly outside", [[0, 1, 32, 10]], id="clipped"),
        pytest.param("0,1,1,9,9,1,0.5", "rotated", [[1, 1, 10, 10]], id="rotated"),
        pytest.param("0,1,1,9,9,1,0,0", "5 to 7 numbers", [], id="eight columns"),
        pytest.param("cow,1,1,9,9", "5 to 7 numbers", [], id="a name that is no class"),
        pytest.param("0;1,5;1;9;9", "5 to 7 numbers", [], id="semicolons and decimal commas"),
        pytest.param("dog,1,1,9,9", "class name", [[1, 1, 10, 10]], id="class by name"),
        pytest.param("0,1,1,9,9,", "comma at its end", [[1, 1, 10, 10]], id="comma at the end"),
        pytest.param("0,1,1,9,9,1,0,", "comma at its end", [[1, 1, 10, 10]], id="seven and one"),
        pytest.param("0,1,1,9,9 ,, ", "comma at its end", [[1, 1, 10, 10]], id="two commas"),
        pytest.param("0;1;1;9;9", "semicolons", [[1, 1, 10, 10]], id="semicolons"),
        pytest.param("class,x0,y0,x1,y1", "header", [], id="header"),
        pytest.param("# by hand: 0,1,1,9,9", "comment", [], id="comment"),
        pytest.param("0,1,1,8.5,9", "fractions", [[1, 1, 9.5, 10]], id="fractions"),
        pytest.param("0,5,5,5,9", "one pixel", [[5, 5, 6, 10]], id="a line"),
    ],
)
def test_what_is_wrong_is_counted(save_image, line: str, kind: str, boxes) -> None:
    problems = Problems()
    (record,) = _read(save_image(), f"{line}\n0,2,2,4,4", problems)
    assert record.boxes.tolist() == [*boxes, [2, 2, 5, 5]]
    assert [k for k in problems.counts if kind in k]
    assert problems.total == 1


def test_what_is_left_of_a_box_is_thinner_than_a_pixel(save_image) -> None:
    problems = Problems()
    (record,) = _read(save_image(), "0,-0.6,1,-0.4,9", problems)
    assert len(record) == 0
    assert list(problems.with_effect(Effect.DROPPED)) == ["box thinner than a pixel (dropped)"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0,1,1,9,9\n1 0.5 0.5 0.1 0.1", id="YOLO below"),
        pytest.param("1 0.5 0.5 0.1 0.1\n0,1,1,9,9", id="YOLO above"),
        pytest.param("0,1,1,9,9\n1 0.1 0.1 0.1 0.2 0.2 0.2", id="polygon"),
        pytest.param("0,1,1,9,9\n1 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1", id="two in a file"),
    ],
)
def test_lines_of_yolo_stop_the_set(save_image, text: str) -> None:
    problems = Problems()
    _read(save_image(), text, problems)
    assert problems.with_effect(Effect.STOPS) == {FOREIGN: 1}
    (example,) = problems.examples(FOREIGN)
    assert example.count("a.txt:") == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("<annotation></annotation>", "XML", id="XML"),
        pytest.param('\n{"images": []}', "JSON", id="JSON"),
        pytest.param("[1, 2]", "JSON", id="a JSON list"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0\0", "binary", id="an image"),
    ],
)
def test_files_of_another_kind_leave_the_image_out(save_image, text, words: str) -> None:
    problems = Problems()
    assert _read(save_image(), text, problems) == []
    assert problems.with_effect(Effect.BROKEN) == {NO_TEXT: 1}
    assert words in problems.examples(NO_TEXT)[0]


def test_facts_have_what_is_dropped(save_image) -> None:
    image = save_image()
    image.with_suffix(".txt").write_text("1,9,4,3,13\n2,1,1,9,9\n0,90,90,95,95\nx,1,1,2,2")
    reading = Reading(NAMES)
    FORMATS["ark"]([(image, image.with_suffix(".txt"))], reading)
    assert list(reading.facts.boxes) == [10, 4, 3, 14, 90, 90, 96, 96]
    assert reading.facts.class_numbers == {1: 1, 2: 1, 0: 1}


def test_a_class_list_beside_ark_counts_as_beside_yolo(save_image, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    problems = Problems()
    _read(save_image(), "0,1,1,9,9", problems)
    assert problems.with_effect(Effect.STOPS) == {OTHER_ORDER: 1}


def test_boxes_of_the_stored_picture_are_turned(save_image) -> None:
    exif = Image.Exif()
    exif[274] = 6
    image = save_image("a.jpg", exif=exif)
    image.with_suffix(".txt").write_text("1,3,4,12,13")
    reading = Reading(NAMES, Conventions(frame="stored"))
    (record,) = FORMATS["ark"]([(image, image.with_suffix(".txt"))], reading)
    assert record.boxes.tolist() == [[10, 3, 20, 13]]
