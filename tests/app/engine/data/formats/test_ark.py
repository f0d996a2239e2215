"""Ark files: columns, inclusive maxima, and everything that may be wrong in them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.data.formats import FORMATS, Reading
from app.engine.data.formats._records import ONE_PIXEL
from app.engine.data.problems import Problems
from app.engine.structures.sample import ImageRecord

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
    ],
)
def test_columns(save_image, line: str) -> None:
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


def test_empty_file_is_an_image_without_objects(save_image) -> None:
    problems = Problems()
    (record,) = _read(save_image(), "", problems)
    assert record.boxes.shape == (0, 4)
    assert record.classes.shape == (0,)
    assert record.segmentations is None
    assert problems.total == 0


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
        pytest.param("0,-0.6,1,-0.4,9", "thinner", [], id="half a pixel inside"),
        pytest.param("0,-5,1,40,9", "partly outside", [[0, 1, 32, 10]], id="clipped"),
        pytest.param("0,1,1,9,9,1,0.5", "rotated", [[1, 1, 10, 10]], id="rotated"),
    ],
)
def test_what_is_wrong_is_counted(save_image, line: str, kind: str, boxes) -> None:
    problems = Problems()
    (record,) = _read(save_image(), f"{line}\n0,2,2,4,4", problems)
    assert record.boxes.tolist() == [*boxes, [2, 2, 5, 5]]
    assert [k for k in problems.counts if kind in k]
    assert problems.total == 1


def test_missing_and_unreadable_files_leave_the_image_out(save_image, tmp_path: Path) -> None:
    good, broken = save_image("good.png"), tmp_path / "broken.jpg"
    broken.write_bytes(b"<html>")
    label = tmp_path / "label.txt"
    label.write_text("0,1,1,2,2")
    problems = Problems()
    pairs = [
        (good, tmp_path / "missing.txt"),
        (broken, label),
        (tmp_path / "gone.jpg", label),
        (save_image("other.png"), label),
        (tmp_path / "other.png", label),
        (save_image("third.png"), tmp_path),
    ]
    records = FORMATS["ark"](pairs, Reading(NAMES, problems=problems))
    assert [record.path.name for record in records] == ["other.png"]
    assert problems.counts == {
        "image listed twice (first entry kept)": 1,
        "unreadable image (left out)": 2,
        "annotation file missing or unreadable (image left out)": 2,
    }


def test_many_images_keep_their_order(save_image, tmp_path: Path) -> None:
    label = tmp_path / "label.txt"
    label.write_text("0,1,1,2,2")
    pairs = [(save_image(f"{i}.bmp", size=(4, i + 4)), label) for i in range(70)]
    records = FORMATS["ark"](pairs, Reading(NAMES))
    assert [record.width for record in records] == list(range(4, 74))
    assert [record.image_id for record in records] == list(range(70))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet="0123456789.,- \nnaif\te", max_size=120).map(str.encode),
    )
)
def test_no_content_raises(save_image, data: bytes) -> None:
    for record in _read(save_image(), data):
        height, width = record.size
        assert (record.boxes >= 0).all()
        assert (record.boxes <= [width, height, width, height]).all()
        assert (record.boxes[:, 2:] - record.boxes[:, :2] >= 1).all()
        assert ((record.classes >= 0) & (record.classes < 2)).all()
