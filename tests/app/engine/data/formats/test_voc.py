"""The platform's VOC files."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.data.formats import FORMATS, Reading
from app.engine.data.problems import Problems
from app.engine.structures.sample import ImageRecord

NAMES = ["traffic light", "dog"]


def _object(name: str = "dog", box: str | None = None, more: str = "") -> str:
    corners = "<xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>13</ymax>" if box is None else box
    return f"<object><name>{name}</name>{more}<bndbox>{corners}</bndbox></object>"


def _read(image: Path, text: str | bytes, problems: Problems | None = None) -> list[ImageRecord]:
    annotation = image.with_suffix(".xml")
    annotation.write_bytes(text if isinstance(text, bytes) else text.encode())
    return FORMATS["voc"]([(image, annotation)], Reading(NAMES, problems=problems or Problems()))


def test_object(save_image) -> None:
    problems = Problems()
    text = f"<annotation>{_object()}{_object(' Traffic Light ')}</annotation>"
    (record,) = _read(save_image(), text, problems)
    assert record.boxes.tolist() == [[3, 4, 13, 14]] * 2
    assert record.classes.tolist() == [1, 0]
    assert record.difficult.tolist() == [False, False]
    assert problems.total == 0


def test_difficult_is_marked(save_image) -> None:
    text = f"<annotation>{_object(more='<difficult>1</difficult>')}{_object()}</annotation>"
    (record,) = _read(save_image(), text)
    assert record.difficult.tolist() == [True, False]


def test_no_object(save_image) -> None:
    (record,) = _read(save_image(), "<annotation></annotation>")
    assert len(record) == 0


@pytest.mark.parametrize(
    ("text", "kind", "images"),
    [
        pytest.param("", "not valid XML", 0, id="empty file"),
        pytest.param("<annotation><object>", "not valid XML", 0, id="cut off"),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>',
            "not valid XML",
            0,
            id="entity bomb",
        ),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>',
            "not valid XML",
            0,
            id="external entity",
        ),
        pytest.param(f"<a>{_object('cow')}</a>", "unknown class", 1, id="unknown class"),
        pytest.param(f"<a>{_object(box='<xmin>1</xmin>')}</a>", "bndbox", 1, id="incomplete"),
        pytest.param(
            "<a><object><name>dog</name></object></a>", "bndbox", 1, id="object without box"
        ),
        pytest.param(
            "<a><size><width>24</width><height>32</height></size></a>",
            "EXIF",
            1,
            id="annotated size is transposed",
        ),
    ],
)
def test_what_is_wrong_is_counted(save_image, text: str, kind: str, images: int) -> None:
    problems = Problems()
    records = _read(save_image(), text, problems)
    assert len(records) == images
    assert all(len(record) == 0 for record in records)
    assert [k for k in problems.counts if kind in k]
    assert problems.total == 1


def test_rotated_box_is_taken_as_upright(save_image) -> None:
    box = "<xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>13</ymax>"
    problems = Problems()
    text = f"<a>{_object(box=box + '<rotate_angle>0.5000</rotate_angle>')}</a>"
    assert len(_read(save_image(), text, problems)[0]) == 1
    assert problems.counts == {"rotated box (taken as upright)": 1}
    problems = Problems()
    _read(
        save_image(), f"<a>{_object(box=box + '<rotate_angle>0.0000</rotate_angle>')}</a>", problems
    )
    assert problems.total == 0


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=80), st.text(max_size=20)))
def test_no_content_raises(save_image, data: str | bytes) -> None:
    image = save_image()
    _read(image, data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
    if isinstance(data, str):
        _read(image, f"<a>{_object(box=f'<xmin>{data}</xmin>')}</a>".encode("utf-8", "replace"))
