"""CVAT for images: shapes, sets, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from app.engine.data.problems import Effect
from app.engine.errors import DatasetError
from app.exchange.sources import _drawings as drawings
from app.exchange.sources._source import UNLABELLED
from app.exchange.sources.cvat import BROKEN_MASK, NOT_READ, OCCLUDED, OTHER_XML
from tests.app.exchange.conftest import Reader, counts
from tests.app.exchange.scenes import paint

SIZE = (40, 24)
BOX = "<box label='cat' xtl='2' ytl='3' xbr='9' ybr='8'/>"


def write(path: Path, shapes: str, *, name: str = "a.png", more: str = "", meta: str = "") -> None:
    """Write a file with one image of 40 x 24."""
    path.write_text(
        f"<annotations><version>1.1</version><meta>{meta}</meta><image id='0' name='{name}'"
        f" width='40' height='24' {more}>{shapes}</image></annotations>"
    )


@pytest.mark.parametrize(
    ("shapes", "box", "problems"),
    [
        pytest.param(BOX, [2, 3, 9, 8], {}, id="box"),
        pytest.param(
            BOX.replace("/>", " rotation='180.0'/>"), [2, 3, 9, 8], {drawings.ROTATED: 1}, id="180"
        ),
        pytest.param(BOX.replace("/>", " rotation='360.0'/>"), [2, 3, 9, 8], {}, id="a whole turn"),
        pytest.param(
            "<box label='cat' xtl='10' ytl='8' xbr='20' ybr='12' rotation='90.00'/>",
            [13, 5, 17, 15],
            {drawings.ROTATED: 1},
            id="a quarter, about the centre",
        ),
        pytest.param(
            "<box label='cat' xtl='10' ytl='10' xbr='20' ybr='10.0' rotation='30'/>",
            [15 - 5 * np.cos(np.pi / 6), 7.5, 15 + 5 * np.cos(np.pi / 6), 12.5],
            {drawings.ROTATED: 1},
            id="a rod, by 30 degrees",
        ),
        pytest.param(
            BOX.replace("/>", " occluded='1'/>"), [2, 3, 9, 8], {OCCLUDED: 1}, id="occluded"
        ),
        pytest.param(
            "<polygon label='cat' points='2.0,3.0;9.0,3.0;5.0,8.0' group_id='0'/>",
            [2, 3, 9, 8],
            {},
            id="polygon",
        ),
        pytest.param(
            "<ellipse label='cat' cx='20' cy='10' rx='8' ry='4' rotation='0'/>",
            [12, 6, 28, 14],
            {drawings.ROUND: 1},
            id="ellipse",
        ),
        pytest.param(
            "<ellipse label='cat' cx='20' cy='10' rx='8' ry='4' rotation='90.0'/>",
            [16, 2, 24, 18],
            {drawings.ROUND: 1},
            id="ellipse, turned",
        ),
        pytest.param(
            "<mask label='cat' rle='0, 1, 2, 3' left='5' top='4' width='3' height='2'/>",
            [5, 4, 8, 6],
            {},
            id="bitmap",
        ),
    ],
)
def test_shapes(
    source: Path, reader: Reader, shapes: str, box: list[float], problems: dict[str, int]
) -> None:
    paint(source / "a.png", SIZE)
    write(source / "annotations.xml", shapes)
    content = reader.content("cvat")
    ((name, read),) = reader.boxes_in(content)["a.png"]
    assert name == "cat"
    assert read == pytest.approx(box, abs=0.01)
    assert counts(content) == problems


def test_a_bitmap_has_its_runs_along_the_rows(source: Path, reader: Reader) -> None:
    paint(source / "a.png", SIZE)
    write(
        source / "annotations.xml",
        "<mask label='cat' rle='0, 1, 3, 2' left='5' top='4' width='3' height='2'/>",
    )
    (record,) = reader.content("cvat").records
    assert record.segmentations is not None
    bits = coco_mask.decode(record.segmentations[0])
    assert bits[4:6, 5:8].tolist() == [[1, 0, 0], [0, 1, 1]]
    assert bits.sum() == 3


@pytest.mark.parametrize(
    ("shapes", "kind"),
    [
        pytest.param("<points label='cat' points='1,1;2,2'/>", drawings.NO_AREA, id="points"),
        pytest.param("<polyline label='cat' points='1,1;2,2'/>", drawings.NO_AREA, id="line"),
        pytest.param("<tag label='cat'/>", NOT_READ, id="tag"),
        pytest.param("<skeleton label='cat'><points/></skeleton>", NOT_READ, id="skeleton"),
        pytest.param("<polygon label='cat' points='1,1;2,2'/>", drawings.FEW_POINTS, id="2 points"),
        pytest.param("<polygon label='cat' points='1,1;2;3,x'/>", drawings.NOT_NUMBERS, id="words"),
        pytest.param("<box label='cat' xtl='1'/>", drawings.NOT_NUMBERS, id="half a box"),
        pytest.param(
            "<box label='' xtl='1' ytl='1' xbr='5' ybr='5'/>", drawings.NO_CLASS, id="no label"
        ),
        pytest.param(
            "<mask label='cat' rle='9' left='5' top='4' width='3' height='2'/>",
            BROKEN_MASK,
            id="runs",
        ),
        pytest.param(
            "<mask label='cat' rle='0,999999999' left='0' top='0' width='999999999' height='1'/>",
            BROKEN_MASK,
            id="a huge bitmap",
        ),
    ],
)
def test_what_is_dropped(source: Path, reader: Reader, shapes: str, kind: str) -> None:
    paint(source / "a.png", SIZE)
    write(source / "annotations.xml", shapes + BOX)
    content = reader.content("cvat")
    assert reader.boxes_in(content) == {"a.png": [("cat", [2, 3, 9, 8])]}
    assert content.reading.problems.with_effect(Effect.DROPPED) == {kind: 1}


def test_names_sets_and_classes_of_several_files(source: Path, reader: Reader) -> None:
    for name in ("images/x/1.png", "images/y/1.png", "other.png"):
        paint(source / name, SIZE, len(name))
    names = "".join(f"<label><name>{name}</name></label>" for name in ("dog", "cat"))
    labels = f"<task><labels>{names}</labels></task>"
    write(source / "one.xml", BOX, name="x/1.png", more="subset='Train'", meta=labels)
    write(source / "two.xml", "", name="y/1.png", more="subset='Validation'")
    (source / "three.xml").write_text("<annotation/>")
    content = reader.content("cvat")
    assert content.reading.class_names == ["dog", "cat"]
    assert reader.boxes_in(content) == {
        "images/x/1.png": [("cat", [2, 3, 9, 8])],
        "images/y/1.png": [],
    }
    assert reader.splits_in(content) == {"images/x/1.png": "train", "images/y/1.png": "val"}
    assert counts(content) == {OTHER_XML: 1, UNLABELLED: 1}


def test_an_image_that_is_not_there(source: Path, reader: Reader) -> None:
    paint(source / "a.png", SIZE)
    write(source / "annotations.xml", BOX, name="b.png")
    assert counts(reader.content("cvat")) == {drawings.NO_IMAGE: 1, UNLABELLED: 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "<annotations><track id='0' label='cat'/></annotations>",
            "tracks of a video",
            id="video",
        ),
        pytest.param("<annotations><image>", "not valid XML", id="broken"),
    ],
)
def test_what_is_refused(source: Path, reader: Reader, text: str, words: str) -> None:
    paint(source / "a.png", SIZE)
    (source / "annotations.xml").write_text(text)
    with pytest.raises(DatasetError, match=words):
        reader.content("cvat")
