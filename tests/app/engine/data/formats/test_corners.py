"""Whether the maxima of VOC boxes are inclusive is decided once, also for later sets."""

import pytest

from app.engine.data.formats import FORMATS, Conventions, Decisions, Reading
from app.engine.data.formats._corners import FRACTIONS, PLATFORM, WHOLE

MARKS = (
    "<folder>folder</folder><filename>/in/assets/54/x.png</filename><source>"
    "<annotation>unknown</annotation><image>unknown</image></source>"
)
LABELIMG = "<folder>images</folder><source><database>Unknown</database></source>"
WHOLES = ("3", "4", "12", "13")
FLOATS = ("3.00", "4.00", "12.00", "13.00")
HALF = ("3", "4", "12.5", "13")
EDGE = ("3", "4", "32", "24")
INCLUSIVE, EXCLUSIVE = [3, 4, 13, 14], [3, 4, 12, 13]


def _xml(corners: tuple[str, ...], marks: str = "") -> str:
    tags = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{tag}>{text}</{tag}>" for tag, text in zip(tags, corners, strict=False))
    has_box = f"<object><name>dog</name><bndbox>{box}</bndbox></object>" if corners else ""
    return f"<annotation>{marks}{has_box}</annotation>"


def _boxes(save_image, texts: list[str], reading: Reading) -> list[list[float]]:
    pairs = []
    for number, text in enumerate(texts):
        image = save_image(f"{number}.png")
        annotation = image.with_suffix(".xml")
        annotation.write_text(text)
        pairs.append((image, annotation))
    return [box for record in FORMATS["voc"](pairs, reading) for box in record.boxes.tolist()]


@pytest.mark.parametrize(
    ("text", "setting", "box", "words"),
    [
        pytest.param(_xml(WHOLES, MARKS), "auto", INCLUSIVE, "object): all 1 files", id="platform"),
        pytest.param(
            _xml(WHOLES, "<folder>folder</folder><image_quality>-1.0000</image_quality>"),
            "auto",
            INCLUSIVE,
            "object): all 1 files",
            id="platform by other marks",
        ),
        pytest.param(
            _xml(FLOATS, "<folder>folder</folder>"), "auto", EXCLUSIVE, "fractions", id="one mark"
        ),
        pytest.param(_xml(WHOLES), "auto", INCLUSIVE, "object): none of 1 files", id="whole"),
        pytest.param(_xml(FLOATS), "auto", EXCLUSIVE, "pixels): 1 of 1 files have fr", id="CVAT"),
        pytest.param(_xml(HALF), "auto", [3, 4, 12.5, 13], "have fractions", id="one fraction"),
        pytest.param(_xml(EDGE), "auto", [3, 4, 32, 24], "1 of 1 boxes end at", id="to the edge"),
        pytest.param(_xml(WHOLES), "exclusive", EXCLUSIVE, "box_corners says", id="set exclusive"),
        pytest.param(_xml(FLOATS), "inclusive", INCLUSIVE, "box_corners says", id="set inclusive"),
        pytest.param(
            _xml(WHOLES, MARKS), "exclusive", EXCLUSIVE, "box_corners says", id="set against marks"
        ),
    ],
)
def test_one_convention(save_image, text: str, setting, box, words: str) -> None:
    reading = Reading(["dog"], Conventions(corners=setting))
    assert _boxes(save_image, [text], reading) == [box]
    (remark,) = reading.remarks
    assert words in remark
    assert reading.problems.total == 0


@pytest.mark.parametrize(
    ("texts", "boxes", "told"),
    [
        pytest.param([_xml(FLOATS), _xml(WHOLES)], [EXCLUSIVE] * 2, {WHOLE: 1}, id="fractions win"),
        pytest.param(
            [_xml(WHOLES, MARKS), _xml(FLOATS)],
            [INCLUSIVE, EXCLUSIVE],
            {PLATFORM: 1},
            id="platform and CVAT",
        ),
        pytest.param(
            [_xml(WHOLES, MARKS), _xml(WHOLES, LABELIMG)],
            [INCLUSIVE] * 2,
            {PLATFORM: 1},
            id="platform and LabelImg",
        ),
        pytest.param([_xml(FLOATS), _xml(())], [EXCLUSIVE], {}, id="an image without objects"),
    ],
)
def test_mixed_sets_are_told(save_image, texts, boxes, told) -> None:
    reading = Reading(["dog"])
    assert _boxes(save_image, texts, reading) == boxes
    assert reading.problems.counts == told
    assert len(reading.remarks) == 1


def test_no_box_no_remark(save_image) -> None:
    reading = Reading(["dog"])
    assert _boxes(save_image, [_xml(())], reading) == []
    assert reading.remarks == []
    assert reading.decisions.corners is None


@pytest.mark.parametrize(
    ("training", "validation", "boxes", "told"),
    [
        pytest.param(FLOATS, WHOLES, [EXCLUSIVE], {WHOLE: 1}, id="fractions in training only"),
        pytest.param(WHOLES, FLOATS, [INCLUSIVE], {FRACTIONS: 1}, id="in validation only"),
        pytest.param(FLOATS, FLOATS, [EXCLUSIVE], {}, id="in both"),
        pytest.param((), FLOATS, [EXCLUSIVE], {}, id="nothing in training"),
    ],
)
def test_validation_keeps_to_what_training_decided(
    save_image, training, validation, boxes, told
) -> None:
    decisions = Decisions()
    _boxes(save_image, [_xml(training)], Reading(["dog"], decisions=decisions))
    reading = Reading(["dog"], decisions=decisions)
    assert _boxes(save_image, [_xml(validation)], reading) == boxes
    assert reading.problems.counts == told
    assert ("as in the training set" in reading.remarks[0]) == bool(training)


def test_rotated_and_polygon_boxes_have_no_last_pixel(save_image) -> None:
    reading = Reading(["dog"])
    polygon = "<polygon><x1>3</x1><y1>4</y1><x2>12</x2><y2>13</y2></polygon>"
    text = f"<annotation><object><name>dog</name>{polygon}</object></annotation>"
    assert _boxes(save_image, [text], reading) == [EXCLUSIVE]
    assert reading.remarks == []


def test_no_image() -> None:
    assert FORMATS["voc"]([], Reading(["dog"])) == []
