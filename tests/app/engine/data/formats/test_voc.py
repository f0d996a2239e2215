"""VOC files of the platform and of other tools: what is read, mended, dropped and left out."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.engine.data.formats import FORMATS, Conventions, Reading
from app.engine.data.formats._frames import EXCHANGED, OTHER_SIZE, TURNED
from app.engine.data.formats._records import INVERTED, ONE_PIXEL
from app.engine.data.formats._voc_file import LOST_BOX, NO_VOC
from app.engine.data.formats._xml import AMPERSAND, NO_XML, UNREADABLE_LETTERS
from app.engine.data.formats.voc import OTHER_IMAGE
from app.engine.data.problems import Effect, Problems
from app.engine.structures.class_names import OTHER_CASE, OTHER_CHARACTERS, UNKNOWN_CLASS
from app.engine.structures.record import ImageRecord

NAMES = ["traffic light", "dog"]
BOX = "<xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>13</ymax>"
READ = [[3, 4, 13, 14]]


def _object(name: str = "dog", box: str = BOX, more: str = "") -> str:
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def _corners(x0: object, y0: object, x1: object, y1: object) -> str:
    return f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"


def _read(
    image: Path,
    text: str | bytes,
    problems: Problems | None = None,
    names: Sequence[str] = NAMES,
    conventions: Conventions | None = None,
) -> list[ImageRecord]:
    annotation = image.with_suffix(".xml")
    annotation.write_bytes(text if isinstance(text, bytes) else text.encode())
    reading = Reading(names, conventions or Conventions(), problems=problems or Problems())
    return FORMATS["voc"]([(image, annotation)], reading)


def test_object(save_image) -> None:
    problems = Problems()
    text = f"<annotation>{_object()}{_object(' traffic light ')}</annotation>"
    (record,) = _read(save_image(), text, problems)
    assert record.boxes.tolist() == READ * 2
    assert record.classes.tolist() == [1, 0]
    assert record.difficult.tolist() == [False, False]
    assert problems.total == 0


@pytest.mark.parametrize("mark", ["1", " 1\n", "true", "True"])
def test_difficult_is_marked(save_image, mark: str) -> None:
    hard = _object(more=f"<difficult>{mark}</difficult>")
    easy = _object(more="<difficult>0</difficult>")
    (record,) = _read(save_image(), f"<annotation>{hard}{easy}{_object()}</annotation>")
    assert record.difficult.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<annotation></annotation>", id="nothing in it"),
        pytest.param("<annotation/>", id="closed at once"),
        pytest.param("<annotation><filename>a.png</filename></annotation>", id="a name only"),
    ],
)
def test_no_object(save_image, text: str) -> None:
    problems = Problems()
    (record,) = _read(save_image(), text, problems)
    assert len(record) == 0
    assert problems.total == 0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'<annotation xmlns="http://x/y">{_object()}</annotation>', id="namespace"),
        pytest.param(
            f'<v:annotation xmlns:v="u">{_object()}</v:annotation>', id="prefix on the root"
        ),
        pytest.param(
            "<annotation>"
            + _object().replace("<object>", "<object xmlns='http://x'>")
            + "</annotation>",
            id="namespace below the root",
        ),
        pytest.param(
            '<annotation xmlns:v="u">'
            + _object().replace("<", "<v:").replace("<v:/", "</v:")
            + "</annotation>",
            id="prefix below the root",
        ),
        pytest.param(
            f"<annotation>{_object()}</annotation>".upper().replace("DOG", "dog"), id="upper case"
        ),
        pytest.param(
            f"<Annotation>{_object()}</Annotation>".replace("object>", "Object>").replace(
                "bndbox>", "bndBox>"
            ),
            id="mixed case",
        ),
        pytest.param(f"<annotation><objects>{_object()}</objects></annotation>", id="wrapped"),
        pytest.param(
            f"<annotations><annotation>{_object()}</annotation></annotations>", id="twice"
        ),
        pytest.param(f"<a>{_object()}</a>", id="another root"),
        pytest.param(f"\n\n<?xml version='1.0'?><annotation>{_object()}</annotation>", id="blanks"),
        pytest.param(f"\ufeff<?xml version='1.0'?>\n<a>{_object()}</a>", id="byte order mark"),
        pytest.param(f"\ufeff\n<?xml version='1.0'?>\n<a>{_object()}</a>", id="mark and blank"),
        pytest.param(f"<a>{_object()}</a>\0\0\0", id="filled up with zeros"),
        pytest.param(f"<?xml version='1.1'?><a>{_object()}</a>", id="XML 1.1"),
        pytest.param(
            f"<!-- mine --><?xml version='1.0' encoding='utf-8'?>\n<a>{_object()}</a>",
            id="comment before the declaration",
        ),
        pytest.param(
            f'<!DOCTYPE annotation SYSTEM "voc.dtd"><annotation>{_object()}</annotation>',
            id="document type",
        ),
        pytest.param(f"<!-- by hand -->\n<annotation>{_object()}</annotation>", id="comment"),
        pytest.param(
            "<a><object><name>dog</name><bndbox xmin='3' ymin='4' xmax='12' ymax='13'/></object>"
            "</a>",
            id="corners as attributes",
        ),
        pytest.param(
            f"<a>{_object(box='<xmin>3</xmin><xmax>12</xmax><ymin>4</ymin><ymax>13</ymax>')}</a>",
            id="corners in another order",
        ),
        pytest.param(
            f"<a>{_object(box=_corners(' 3', '4 ', chr(10) + '12', '13'))}</a>", id="pads"
        ),
        pytest.param(
            f"<a>{_object(more=f'<part><name>head</name><bndbox>{BOX}</bndbox></part>')}</a>",
            id="a part is no object",
        ),
        pytest.param(
            f"<a>{_object(more='<polygon><x1>1</x1><y1>1</y1></polygon>')}</a>",
            id="a polygon beside the box",
        ),
    ],
)
def test_the_same_object_in_other_dress(save_image, text: str) -> None:
    problems = Problems()
    (record,) = _read(save_image(), text, problems)
    assert record.boxes.tolist() == READ
    assert record.classes.tolist() == [1]
    assert problems.total == 0


@pytest.mark.parametrize(
    ("encoding", "declared", "name"),
    [
        pytest.param("gb2312", "gb2312", "\u732b", id="GB2312"),
        pytest.param("gbk", "GB2312", "\u9555", id="GBK declared as GB2312"),
        pytest.param("gb18030", "GB18030", "\u732b", id="GB18030"),
        pytest.param("big5", "Big5", "\u8c93", id="Big5"),
        pytest.param("shift_jis", "Shift_JIS", "\u732b", id="Shift-JIS"),
        pytest.param("euc_kr", "EUC-KR", "\uace0", id="EUC-KR"),
        pytest.param("utf-16", "UTF-16", "\u732b", id="UTF-16 with a mark"),
        pytest.param("utf-16-le", "UTF-16", "\u732b", id="UTF-16 without a mark"),
        pytest.param("utf-16-be", "UTF-16", "\u732b", id="UTF-16, high bytes first"),
        pytest.param("utf-8", "utf-16", "\u732b", id="UTF-8 declared as UTF-16"),
        pytest.param("utf-8", "gb2312", "\u732b\u732b\u732b", id="UTF-8 declared as GB2312"),
        pytest.param("utf-8", "klingon", "\u732b", id="unknown encoding"),
        pytest.param("latin-1", "ISO-8859-1", "caf\u00e9", id="Latin-1"),
        pytest.param("cp1251", "windows-1251", "\u043a\u043e\u0442", id="Windows, Cyrillic"),
        pytest.param("utf-8", "", "\u732b", id="none declared"),
    ],
)
def test_encodings(save_image, encoding: str, declared: str, name: str) -> None:
    declaration = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    text = f"{declaration}<annotation>{_object(name)}</annotation>"
    problems = Problems()
    (record,) = _read(save_image(), text.encode(encoding), problems, ["x", name])
    assert record.classes.tolist() == [1]
    assert problems.total == 0


def test_letters_of_an_undeclared_encoding(save_image) -> None:
    problems = Problems()
    path = f"<a><path>\u72d7.png</path>{_object()}</a>".encode("gbk")
    (record,) = _read(save_image(), path, problems)
    assert record.boxes.tolist() == READ
    assert list(problems.counts) == [UNREADABLE_LETTERS]
    problems = Problems()
    assert _read(save_image(), f"<a>{_object(chr(0x72D7))}</a>".encode("gbk"), problems) == []
    assert problems.with_effect(Effect.BROKEN) == {NO_XML: 1}


@pytest.mark.parametrize(
    ("written", "name", "is_told"),
    [
        pytest.param("black &amp; white", "black & white", False, id="escaped"),
        pytest.param("black & white", "black & white", True, id="bare ampersand"),
        pytest.param("caf&eacute;", "caf\u00e9", True, id="HTML entity"),
        pytest.param("caf&#233;", "caf\u00e9", False, id="number of a character"),
        pytest.param("caf&amp;eacute;", "caf\u00e9", False, id="escaped twice"),
        pytest.param("a&nosuch;b", "a&nosuch;b", True, id="unknown entity"),
        pytest.param("a &LT; b", "a < b", True, id="entity of a special character"),
    ],
)
def test_ampersands(save_image, written: str, name: str, is_told: bool) -> None:
    problems = Problems()
    (record,) = _read(save_image(), f"<a>{_object(written)}</a>", problems, [name])
    assert len(record) == 1
    assert problems.counts == ({AMPERSAND: 1} if is_told else {})


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        pytest.param("", NO_XML, "the file is empty", id="empty file"),
        pytest.param(" \n", NO_XML, "the file is empty", id="blanks only"),
        pytest.param("<annotation><object>", NO_XML, "line 1", id="cut off"),
        pytest.param("<annotation>\n<a></b>\n", NO_XML, "mismatched tag: line 2", id="unclosed"),
        pytest.param(
            "\n\n<?xml version='1.0'?>\n<a>\n</b>",
            NO_XML,
            "mismatched tag: line 5",
            id="line of it",
        ),
        pytest.param(f"<a>{_object()}</a><b/>", NO_XML, "junk after", id="two roots"),
        pytest.param("<v:annotation/>", NO_XML, "unbound prefix", id="unknown prefix"),
        pytest.param('{"objects": []}', NO_XML, "line 1, column 0", id="JSON"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0", NO_XML, "line 1", id="an image"),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>',
            NO_XML,
            "declares entities",
            id="entity bomb",
        ),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b "bb">]><annotation>&b;</annotation>'.encode("utf-16"),
            NO_XML,
            "declares entities",
            id="entity bomb in UTF-16",
        ),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>',
            NO_XML,
            "declares entities",
            id="external entity",
        ),
        pytest.param(
            "<annotations><version>1.1</version><image name='a.png'><box label='dog'/></image>"
            "</annotations>",
            NO_VOC,
            "CVAT for images",
            id="CVAT",
        ),
        pytest.param("<dataset><images><image/></images></dataset>", NO_VOC, "dlib", id="dlib"),
        pytest.param("<html><body>404</body></html>", NO_VOC, "<html>", id="a web page"),
        pytest.param(
            "<annotations><annotation/><annotation/></annotations>", NO_VOC, "2 images", id="two"
        ),
        pytest.param(
            f"<annotation><item><name>dog</name><bndbox>{BOX}</bndbox></item></annotation>",
            LOST_BOX,
            "a.xml",
            id="a box without an object",
        ),
        pytest.param(
            f"<a><object><name>dog</name><shape><bndbox>{BOX}</bndbox></shape></object></a>",
            LOST_BOX,
            "a.xml",
            id="a box too deep",
        ),
        pytest.param(
            "<a><size><width>24</width><height>32</height></size></a>",
            EXCHANGED,
            "annotated 24x32, image 32x24",
            id="size transposed",
        ),
        pytest.param(
            "<a><size><width>99</width><height>24</height></size></a>",
            OTHER_SIZE,
            "annotated 99x24",
            id="another size",
        ),
    ],
)
def test_what_leaves_the_image_out(save_image, text: str | bytes, kind: str, words: str) -> None:
    problems = Problems()
    assert _read(save_image(), text, problems) == []
    assert problems.with_effect(Effect.BROKEN) == {kind: 1}
    assert words in problems.examples(kind)[0]
    assert problems.total == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(_object("cow"), UNKNOWN_CLASS, id="unknown class"),
        pytest.param(f"<object><bndbox>{BOX}</bndbox></object>", UNKNOWN_CLASS, id="no name"),
        pytest.param(_object(box="<xmin>1</xmin>"), "bndbox", id="one corner"),
        pytest.param(_object(box=_corners(1, 2, 3, "")), "bndbox", id="an empty corner"),
        pytest.param(_object(box=_corners(1, 2, 3, "x")), "bndbox", id="a word"),
        pytest.param(_object(box=_corners(1, 2, 3, "4 5")), "bndbox", id="two numbers in one"),
        pytest.param(_object(box=BOX + BOX), "bndbox", id="corners given twice"),
        pytest.param(_object(box=_corners(1, 2, 3, "nan")), "no number", id="not a number"),
        pytest.param(_object(box=_corners(1, 2, "1e999", 4)), "no number", id="infinite"),
        pytest.param("<object><name>dog</name></object>", "bndbox", id="no box"),
        pytest.param(
            "<object><name>dog</name><polygon><x1>1</x1></polygon></object>",
            "bndbox",
            id="half a point",
        ),
        pytest.param(
            "<object><name>dog</name><robndbox><cx>1</cx></robndbox></object>",
            "bndbox",
            id="half a rotated box",
        ),
    ],
)
def test_what_drops_an_object(save_image, text: str, kind: str) -> None:
    problems = Problems()
    (record,) = _read(save_image(), f"<annotation>{text}</annotation>", problems)
    assert len(record) == 0
    assert [k for k in problems.with_effect(Effect.DROPPED) if kind in k]
    assert problems.total == 1


@pytest.mark.parametrize(
    ("text", "boxes", "kind"),
    [
        pytest.param(_object(box=_corners(12, 4, 3, 13)), READ, INVERTED, id="x inverted"),
        pytest.param(_object(box=_corners(3, 13, 12, 4)), READ, INVERTED, id="y inverted"),
        pytest.param(_object(box=_corners(12, 13, 3, 4)), READ, INVERTED, id="both inverted"),
        pytest.param(_object(box=_corners(5, 6, 5, 6)), [[5, 6, 6, 7]], ONE_PIXEL, id="a click"),
        pytest.param(_object(box=_corners(5, 6, 5, 9)), [[5, 6, 6, 10]], ONE_PIXEL, id="a line"),
        pytest.param(
            _object(box=_corners("3,5", "4,0", "12,5", "13,5")),
            [[3.5, 4, 12.5, 13.5]],
            "decimal comma",
            id="decimal commas",
        ),
        pytest.param(
            f"<object><name>dog</name><bndbox>{BOX}</bndbox><bndbox>{BOX}</bndbox></object>",
            READ * 2,
            "further box",
            id="two boxes in an object",
        ),
        pytest.param(
            f"<object><name>dog</name><name>cat</name><bndbox>{BOX}</bndbox></object>",
            READ,
            "two names",
            id="two names",
        ),
        pytest.param(
            f"<object><label>dog</label><bndbox>{BOX}</bndbox></object>",
            READ,
            "<label>",
            id="label for name",
        ),
        pytest.param(
            _object(box="<x>3</x><y>4</y><width>10</width><height>10</height>"),
            READ,
            "width and height",
            id="corner and size",
        ),
        pytest.param(
            _object(box="<x>3</x><y>4</y><w>10</w><h>10</h>"),
            READ,
            "width and height",
            id="corner and size, short",
        ),
        pytest.param(
            "<object><name>dog</name><polygon><pt><x>3</x><y>4</y></pt><pt><x>13</x><y>4</y></pt>"
            "<pt><x>5</x><y>14</y></pt><username>me</username></polygon></object>",
            READ,
            "polygon only",
            id="polygon of LabelMe",
        ),
        pytest.param(
            "<object><name>dog</name><polygon><x1>3</x1><y1>14</y1><x2>13</x2><y2>4</y2><x3>4</x3>"
            "<y3>9</y3></polygon></object>",
            READ,
            "polygon only",
            id="polygon of Roboflow",
        ),
        pytest.param(
            _object(box=f"{BOX}<rotate_angle>0.5000</rotate_angle>"),
            READ,
            "taken as upright",
            id="angle of unknown unit",
        ),
        pytest.param(
            _object(
                more="<attributes><attribute><name>rotation</name><value>90.0</value></attribute>"
                "</attributes>",
                box=_corners(10, 4, 19, 5),
            ),
            [[14, 0, 16, 10]],
            "box around it",
            id="quarter turn of CVAT",
        ),
        pytest.param(
            "<object><name>dog</name><robndbox><cx>15</cx><cy>12</cy><w>10</w><h>2</h>"
            f"<angle>{math.pi / 2}</angle></robndbox></object>",
            [[14, 7, 16, 17]],
            "box around it",
            id="quarter turn of roLabelImg",
        ),
        pytest.param(
            f"{_object()}<object><name>dog</name><deleted>1</deleted><bndbox>{BOX}</bndbox></object>",
            READ,
            "deleted",
            id="deleted in LabelMe",
        ),
        pytest.param(_object("DOG"), READ, OTHER_CASE, id="name in another case"),
        pytest.param(_object("do\u200bg"), READ, OTHER_CHARACTERS, id="zero-width character"),
    ],
)
def test_what_is_used_and_told(save_image, text: str, boxes, kind: str) -> None:
    problems = Problems()
    (record,) = _read(save_image(), f"<annotation>{text}</annotation>", problems)
    assert record.boxes.tolist() == [pytest.approx(box, abs=1e-4) for box in boxes]
    assert record.classes.tolist() == [1] * len(boxes)
    assert [k for k in problems.counts if kind in k]
    assert problems.total == 1
    assert not problems.with_effect(Effect.DROPPED, Effect.BROKEN)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("<rotate_angle>0.0000</rotate_angle>", id="platform"),
        pytest.param("<rotate_angle></rotate_angle>", id="nothing"),
    ],
)
def test_boxes_that_are_not_rotated(save_image, more: str) -> None:
    problems = Problems()
    attribute = (
        "<attributes><attribute><name>rotation</name><value>0.0</value></attribute></attributes>"
    )
    text = f"<a>{_object(box=BOX + more)}{_object(more=attribute)}</a>"
    (record,) = _read(save_image(), text, problems)
    assert record.boxes.tolist() == READ * 2
    assert problems.total == 0


def test_objects_in_objects_are_objects(save_image) -> None:
    inner = _object("traffic light", _corners(1, 1, 2, 2))
    problems = Problems()
    (record,) = _read(save_image(), f"<a>{_object(more=inner)}</a>", problems)
    assert record.classes.tolist() == [1, 0]
    assert record.boxes.tolist() == [*READ, [1, 1, 3, 3]]
    assert problems.total == 0


@pytest.mark.parametrize(
    "size",
    [
        pytest.param("<width>32</width><height>24</height><depth>3</depth>", id="as the image"),
        pytest.param("<width>32.0</width><height> 24 </height>", id="floats and blanks"),
        pytest.param("<width>0</width><height>0</height>", id="zeros"),
        pytest.param("<width></width><height></height>", id="empty"),
        pytest.param("<width>32</width>", id="height missing"),
        pytest.param("<width>-1</width><height>24</height>", id="negative"),
        pytest.param("<width>wide</width><height>24</height>", id="a word"),
    ],
)
def test_sizes_that_say_nothing_else(save_image, size: str) -> None:
    problems = Problems()
    (record,) = _read(save_image(), f"<a><size>{size}</size>{_object()}</a>", problems)
    assert record.boxes.tolist() == READ
    assert problems.total == 0


def test_size_of_the_stored_picture_stops_the_set_unless_a_setting_says_what_it_means(
    save_image,
) -> None:
    exif = Image.Exif()
    exif[274] = 6
    image = save_image("a.jpg", exif=exif)
    text = f"<a><size><width>32</width><height>24</height></size>{_object()}</a>"
    problems = Problems()
    assert _read(image, text, problems) == []
    assert problems.with_effect(Effect.STOPS) == {TURNED: 1}
    (record,) = _read(image, text, conventions=Conventions(frame="stored"))
    assert record.size == (32, 24)
    assert record.boxes.tolist() == [[10, 3, 20, 13]]
    (record,) = _read(image, text, conventions=Conventions(frame="shown"))
    assert record.boxes.tolist() == READ


def test_size_in_proportion(save_image) -> None:
    text = f"<a><size><width>64</width><height>48</height></size>{_object()}</a>"
    (record,) = _read(save_image(), text, conventions=Conventions(frame="scaled"))
    assert record.boxes.tolist() == [[1.5, 2, 6.5, 7]]


@pytest.mark.parametrize(
    ("said", "count"),
    [
        pytest.param(["1.png", "2.png", "0.png"], 3, id="shifted by one"),
        pytest.param(["0.png", "2.png", "1.png"], 2, id="two exchanged"),
        pytest.param(["C:\\my data\\1.PNG", "/data/2.png", "0.png"], 3, id="with folders"),
        pytest.param(["1", "2.jpg", "0"], 3, id="other suffixes or none"),
        pytest.param(["0.png", "1.png", "2.png"], 0, id="each its own"),
        pytest.param(["/in/assets/54/0.png", "D:\\x\\1.jpg", "2"], 0, id="its own with folders"),
        pytest.param(["a.jpg", "a.jpg", "a.jpg"], 0, id="images were renamed"),
        pytest.param(["", " ", "x/"], 0, id="no name"),
    ],
)
def test_names_of_other_images(save_image, tmp_path: Path, said: list[str], count: int) -> None:
    pairs = []
    for number, name in enumerate(said):
        annotation = tmp_path / f"{number}.xml"
        annotation.write_text(f"<annotation><filename>{name}</filename></annotation>")
        pairs.append((save_image(f"{number}.png"), annotation))
    reading = Reading(NAMES)
    assert len(FORMATS["voc"](pairs, reading)) == 3
    assert reading.problems.counts == ({OTHER_IMAGE: count} if count else {})


def test_two_spellings_in_different_files_are_two_classes(save_image, tmp_path: Path) -> None:
    pairs = []
    for name in ("A", "a"):
        annotation = tmp_path / f"{ord(name)}.xml"
        annotation.write_text(f"<annotation>{_object(name)}</annotation>")
        pairs.append((save_image(f"{ord(name)}.png"), annotation))
    reading = Reading(["A"])
    assert [len(record) for record in FORMATS["voc"](pairs, reading)] == [1, 0]
    assert reading.problems.counts == {UNKNOWN_CLASS: 1}
    later = Reading(["A"], decisions=reading.decisions)
    assert [len(record) for record in FORMATS["voc"](pairs[1:], later)] == [0]


def test_facts_are_numbers_before_any_check(save_image) -> None:
    annotation = save_image().with_suffix(".xml")
    boxes = [_corners(12, 4, 3, 13), _corners(40, 40, 50, 50), _corners(3, 4, 12, 13)]
    objects = [*(_object(box=box) for box in boxes), _object("cow")]
    annotation.write_text(f"<annotation>{''.join(objects)}</annotation>")
    reading = Reading(NAMES)
    FORMATS["voc"]([(annotation.with_suffix(".png"), annotation)], reading)
    assert list(reading.facts.boxes) == [13, 4, 3, 14, 40, 40, 51, 51, 3, 4, 13, 14]
    assert list(reading.facts.sizes) == [24, 32] * 3


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=80), st.text(max_size=20)))
def test_no_content_raises(save_image, data: str | bytes) -> None:
    image = save_image()
    _read(image, data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
    if isinstance(data, str):
        _read(image, f"<a>{_object(box=f'<xmin>{data}</xmin>')}</a>".encode("utf-8", "replace"))
        _read(image, f"<a>{_object(box=_corners(1, 2, 3, data))}</a>".encode("utf-8", "replace"))
        declared = f'<?xml version="1.0" encoding="{data}"?><a>{_object()}</a>'
        _read(image, declared.encode("utf-8", "replace"))
