"""What all formats with one annotation file per image have in common."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.data.formats import FORMATS, Reading
from app.engine.data.formats._records import SHARED
from app.engine.data.problems import Problems

NAMES = ["cat", "dog"]
_CORNERS = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
CAT = {
    "ark": "0,1,1,9,9",
    "yolo": "0 .5 .5 .5 .5",
    "voc": f"<annotation><object><name>cat</name><bndbox>{_CORNERS}</bndbox></object></annotation>",
}
NOTHING = {"ark": "", "yolo": "", "voc": "<annotation></annotation>"}

every_format = pytest.mark.parametrize("word", list(CAT))


@every_format
def test_a_file_without_objects_is_an_image_without_objects(save_image, word: str) -> None:
    image = save_image()
    image.with_suffix(".txt").write_text(NOTHING[word])
    reading = Reading(NAMES)
    (record,) = FORMATS[word]([(image, image.with_suffix(".txt"))], reading)
    assert record.boxes.shape == (0, 4)
    assert record.classes.shape == (0,)
    assert record.segmentations is None
    assert reading.problems.total == 0
    assert reading.remarks == []


@every_format
@pytest.mark.parametrize(
    ("texts", "count"),
    [
        pytest.param(CAT, 2, id="objects of three images"),
        pytest.param(NOTHING, 0, id="no objects"),
    ],
)
def test_one_file_for_several_images_is_told(
    save_image, tmp_path: Path, word: str, texts: dict[str, str], count: int
) -> None:
    label = tmp_path / "label"
    label.write_text(texts[word])
    pairs = [(save_image(f"{number}.png"), label) for number in range(3)]
    reading = Reading(NAMES)
    assert len(FORMATS[word](pairs, reading)) == 3
    assert reading.problems.counts.get(SHARED, 0) == count


@every_format
def test_missing_and_unreadable_files_leave_the_image_out(
    save_image, tmp_path: Path, word: str
) -> None:
    good, broken = save_image("good.png"), tmp_path / "broken.jpg"
    broken.write_bytes(b"<html>")
    label = tmp_path / "label.txt"
    label.write_text(CAT[word])
    problems = Problems()
    pairs = [
        (good, tmp_path / "missing.txt"),
        (broken, label),
        (tmp_path / "gone.jpg", label),
        (save_image("other.png"), label),
        (tmp_path / "other.png", label),
        (save_image("third.png"), tmp_path),
    ]
    records = FORMATS[word](pairs, Reading(NAMES, problems=problems))
    assert [record.path.name for record in records] == ["other.png"]
    assert problems.counts == {
        "image listed twice (first entry kept)": 1,
        "unreadable image (left out)": 2,
        "annotation file missing or unreadable (image left out)": 2,
    }


@every_format
def test_many_images_keep_their_order(save_image, tmp_path: Path, word: str) -> None:
    label = tmp_path / "label.txt"
    label.write_text(CAT[word])
    pairs = [(save_image(f"{i}.bmp", size=(12, i + 12)), label) for i in range(70)]
    records = FORMATS[word](pairs, Reading(NAMES))
    assert [record.width for record in records] == list(range(12, 82))
    assert [record.image_id for record in records] == list(range(70))


@every_format
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet="0123456789.,- \nnaif\te<>/&;", max_size=120).map(str.encode),
    )
)
def test_no_content_raises(save_image, word: str, data: bytes) -> None:
    image = save_image()
    image.with_suffix(".txt").write_bytes(data)
    for record in FORMATS[word]([(image, image.with_suffix(".txt"))], Reading(NAMES)):
        height, width = record.size
        assert (record.boxes >= 0).all()
        assert (record.boxes <= [width, height, width, height]).all()
        assert (record.boxes[:, 2:] - record.boxes[:, :2] >= 0.99).all()
        assert ((record.classes >= 0) & (record.classes < 2)).all()
