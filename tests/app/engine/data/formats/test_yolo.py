"""YOLO labels: boxes, polygons, keypoints, and lists of class names beside them."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from app.engine.data.formats import FORMATS, Conventions, Reading, looks_like_yolo
from app.engine.data.formats._class_list import OTHER_NAMES, OTHER_ORDER
from app.engine.data.formats.yolo import (
    FOREIGN,
    KEYPOINTS,
    NOT_SHARES,
    PIXELS,
    SIXTH,
    WRONG_LINE,
)
from app.engine.data.problems import Effect
from app.engine.structures.record import ImageRecord

NAMES = ["cat", "dog"]
LINE = "1 0.5 0.5 0.25 0.25"
READ = [12, 9, 20, 15]  # of 32 x 24


def _read(image: Path, text: str | bytes, reading: Reading | None = None) -> list[ImageRecord]:
    annotation = image.with_suffix(".txt")
    annotation.write_bytes(text if isinstance(text, bytes) else text.encode())
    return FORMATS["yolo"]([(image, annotation)], reading or Reading(NAMES))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(LINE, id="five columns"),
        pytest.param("1.0\t0.5\t0.5\t0.25\t0.25\r\n\r\n", id="tabs, a float as class"),
        pytest.param("\ufeff 1  0.500000 .5 25e-2 0.25 ", id="mark, blanks, other numbers"),
        pytest.param(LINE.encode("utf-16"), id="UTF-16"),
    ],
)
def test_box(save_image, line: str | bytes) -> None:
    reading = Reading(NAMES)
    (record,) = _read(save_image(), line, reading)
    assert record.boxes.tolist() == [READ]
    assert record.classes.tolist() == [1]
    assert reading.problems.total == 0
    assert reading.facts.class_numbers == {1: 1}
    (remark,) = reading.remarks
    assert "YOLO" in remark
    assert "0 cat, 1 dog" in remark


@pytest.mark.parametrize(
    ("line", "box", "kind"),
    [
        pytest.param(f"{LINE} 0.9", READ, SIXTH, id="a score"),
        pytest.param(f"{LINE} 17", READ, SIXTH, id="a track"),
        pytest.param(f"{LINE} .5 .5 2 .45 .4 0", READ, KEYPOINTS, id="two keypoints, visible"),
        pytest.param(f"{LINE} .5 .5 1", READ, KEYPOINTS, id="one keypoint, visible"),
        pytest.param("dog 0.5 0.5 0.25 0.25", READ, "class name", id="class by name"),
        pytest.param("1 0,5 0,5 0,25 0,25", READ, "decimal commas", id="decimal commas"),
        pytest.param("1 0.5 0.5 -0.25 0.25", READ, "ends before", id="negative width"),
        pytest.param(
            "1 0.5 0.5 0.031249 0.25",
            [15.500016, 9, 16.499984, 15],
            "one pixel",
            id="a pixel, rounded",
        ),
        pytest.param(
            "1 .9 .5 .5 .5", [20.8, 6, 32, 18], "partly outside", id="over the image's edge"
        ),
    ],
)
def test_what_is_used_and_told(save_image, line: str, box: list[float], kind: str) -> None:
    reading = Reading(NAMES)
    (record,) = _read(save_image(), line, reading)
    assert record.boxes.tolist() == [pytest.approx(box)]
    assert record.classes.tolist() == [1]
    assert [k for k in reading.problems.counts if kind in k]
    assert reading.problems.total == 1


@pytest.mark.parametrize(
    ("line", "polygon", "box"),
    [
        pytest.param(
            "1 .25 .5 .75 .5 .5 .75", [8, 12, 24, 12, 16, 18], [8, 12, 24, 18], id="triangle"
        ),
        pytest.param(
            "1 .5 .5 1 .5 1 1 .5 1",
            [16, 12, 32, 12, 32, 24, 16, 24],
            [16, 12, 32, 24],
            id="quadrilateral",
        ),
        pytest.param(
            "1 .5 .25 .75 .5 .5 .75 .25 .5 .375 .375",
            [16, 6, 24, 12, 16, 18, 8, 12, 12, 9],
            [8, 6, 24, 18],
            id="five corners",
        ),
    ],
)
def test_a_polygon_is_a_mask(save_image, line: str, polygon: list[float], box: list[float]) -> None:
    reading = Reading(NAMES)
    (record,) = _read(save_image(), f"{line}\n{LINE}", reading)
    assert record.boxes.tolist() == [box, READ]
    assert record.segmentations is not None
    mask, none = record.segmentations
    assert isinstance(mask, list)
    assert [ring.tolist() for ring in mask] == [polygon]
    assert none is None
    assert reading.problems.total == 0
    assert "2 lines (1 of them polygons)" in reading.remarks[0]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param("2 0.5 0.5 0.1 0.1", "class index outside 0..1", id="class too large"),
        pytest.param("-1 0.5 0.5 0.1 0.1", "class index outside", id="class negative"),
        pytest.param("0.5 0.5 0.5 0.1 0.1", "class index outside", id="class is no whole number"),
        pytest.param("cow 0.5 0.5 0.1 0.1", WRONG_LINE, id="a name that is no class"),
        pytest.param("0 0.5 0.5 0.1", WRONG_LINE, id="four columns"),
        pytest.param("0 0.5 0.5 0.1 x", WRONG_LINE, id="a word"),
        pytest.param("0 .1 .1 .2 .2 .3 .3 .4", WRONG_LINE, id="half a corner too many"),
        pytest.param("0 16 12 8 6", NOT_SHARES, id="pixels"),
        pytest.param("0 nan 0.5 0.1 0.1", NOT_SHARES, id="NaN"),
        pytest.param("0 0.5 0.5 0 0.1", "without area", id="no width"),
        pytest.param("0 1.5 0.5 0.1 0.1", "outside its image", id="outside"),
        pytest.param("0 0.5 0.5 0.01 0.5", "thinner", id="a third of a pixel wide"),
    ],
)
def test_what_drops_an_object(save_image, line: str, kind: str) -> None:
    reading = Reading(NAMES)
    (record,) = _read(save_image(), "\n".join([line, LINE, LINE]), reading)
    assert record.boxes.tolist() == [READ] * 2
    assert [k for k in reading.problems.with_effect(Effect.DROPPED) if kind in k]
    assert reading.problems.total == 1
    assert "a.txt:1" in str(reading.problems.lines()) or "a.png" in str(reading.problems.lines())


def test_comments_are_told(save_image) -> None:
    reading = Reading(NAMES)
    (record,) = _read(save_image(), f"# by hand\n{LINE}", reading)
    assert len(record) == 1
    assert [k for k in reading.problems.counts if "comment" in k]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["0 16 12 8 6"], id="pixels of YOLO"),
        pytest.param(["0 50 50 25 25", "1 10 10 5 5", LINE], id="percent, most of them"),
        pytest.param(["0\t15\t131\t68\t150"], id="ark with tabs"),
    ],
)
def test_pixels_and_percent_stop_the_set(save_image, lines: list[str]) -> None:
    reading = Reading(NAMES)
    _read(save_image(), "\n".join(lines), reading)
    assert reading.problems.with_effect(Effect.STOPS) == {PIXELS: max(1, len(lines) - 1)}
    assert reading.remarks == []


def test_lines_of_ark_stop_the_set(save_image) -> None:
    reading = Reading(NAMES)
    _read(save_image(), f"{LINE}\n0, 1, 2, 3, 4\n0,1,2,3,4", reading)
    assert reading.problems.with_effect(Effect.STOPS) == {FOREIGN: 1}
    (example,) = reading.problems.examples(FOREIGN)
    assert "a.txt:2" in example
    assert "a.txt:1" in example


@pytest.mark.parametrize(
    ("lines", "boxes", "counts"),
    [
        pytest.param(
            [f"{LINE} .5 .5 .4 .4 .6 .6", f"{LINE} .5 .5 0 0 .6 .6", f"{LINE} .4 .5 .4 .4 .6 .6"],
            [READ] * 3,
            {KEYPOINTS: 3},
            id="keypoints without visibility",
        ),
        pytest.param(
            ["1 0 0 .5 0 .5 .5 .25 .5 0 .25", "1 .5 .5 1 .5 1 1 .75 1 .5 .75"] * 2,
            [[0, 0, 16, 12], [16, 12, 32, 24]] * 2,
            {},
            id="polygons of as many corners",
        ),
        pytest.param(
            [f"{LINE} .5 .5 .4 .4 .6 .6", f"{LINE} .5 .5 .4 .4", f"{LINE} .4 .5 .4 .4 .6 .6"],
            [[8, 6, 19.2, 14.4], [8, 6, 16, 12], [8, 6, 19.2, 14.4]],
            {},
            id="polygons of any number of corners",
        ),
    ],
)
def test_keypoints_and_polygons_are_told_apart(
    save_image, lines, boxes, counts: dict[str, int]
) -> None:
    reading = Reading(NAMES)
    (record,) = _read(save_image(), "\n".join(lines), reading)
    assert record.boxes.tolist() == [pytest.approx(box) for box in boxes]
    assert reading.problems.counts == counts
    assert (record.segmentations is None) == bool(counts)


@pytest.mark.parametrize(
    ("frame", "box"),
    [
        pytest.param("auto", [0, 0, 12, 16], id="shares of the shown picture"),
        pytest.param("stored", [12, 0, 24, 16], id="shares of the stored one"),
    ],
)
def test_turned_photographs(save_image, frame, box) -> None:
    exif = Image.Exif()
    exif[274] = 6
    image = save_image("a.jpg", exif=exif)
    (record,) = _read(image, "0 .25 .25 .5 .5", Reading(NAMES, Conventions(frame=frame)))
    assert record.size == (32, 24)
    assert record.boxes.tolist() == [box]


@pytest.mark.parametrize(
    ("name", "content", "stops", "told"),
    [
        pytest.param("classes.txt", "cat\ndog\n", False, False, id="the same"),
        pytest.param("classes.txt", "\ufeffCat\r\n\r\ndog", False, False, id="Windows, other case"),
        pytest.param("classes.txt", "cat\ndog\ncow", False, False, id="more than asked for"),
        pytest.param("classes.txt", "cat", False, False, id="fewer than asked for"),
        pytest.param("classes.txt", "dog\ncat", True, False, id="another order"),
        pytest.param("classes.txt", "cow\ncat\ndog", True, False, id="shifted"),
        pytest.param("classes.txt", "chat\nchien", False, True, id="other names"),
        pytest.param("classes.txt", "cat\nchien", False, True, id="one other name"),
        pytest.param("classes.txt", "", False, False, id="empty"),
        pytest.param("obj.names", "dog\ncat", True, False, id="darknet"),
        pytest.param("../classes.txt", "dog\ncat", True, False, id="above the labels"),
        pytest.param("data.yaml", "names: [dog, cat]", True, False, id="YAML list"),
        pytest.param("../../data.yaml", "names: {0: dog, 1: cat}", True, False, id="YAML mapping"),
        pytest.param("data.yml", "nc: 2\nnames:\n- cat\n- dog\n", False, False, id="YAML, same"),
        pytest.param("data.yaml", "names: 3", False, False, id="YAML without names"),
        pytest.param("data.yaml", "a: [", False, False, id="broken YAML"),
        pytest.param("data.yaml", "names: {x: [dog]}", False, False, id="YAML of another shape"),
    ],
)
def test_class_lists(save_image, tmp_path: Path, name, content, stops: bool, told: bool) -> None:
    labels = tmp_path / "labels/train"
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text(LINE)
    (labels / name).write_text(content)
    reading = Reading(NAMES)
    FORMATS["yolo"]([(save_image(), labels / "a.txt")], reading)
    kinds = [OTHER_ORDER] * stops + [OTHER_NAMES] * told
    assert reading.problems.counts == dict.fromkeys(kinds, 1)
    assert reading.problems.with_effect(Effect.STOPS) == dict.fromkeys([OTHER_ORDER] * stops, 1)
    for kind in kinds:
        assert "0 cat, 1 dog" in reading.problems.examples(kind)[0]
        assert Path(name).name in reading.problems.examples(kind)[0]
    assert ("as in" in reading.remarks[0]) == (not kinds and "cat" in content.lower())


def test_class_names_stay_as_they_are_written(save_image, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: {0: no, 1: 1e3}")
    reading = Reading(["no", "1e3"])
    _read(save_image(), LINE, reading)
    assert "as in" in reading.remarks[0]


@pytest.mark.parametrize(
    ("texts", "is_yolo"),
    [
        pytest.param([LINE], True, id="box"),
        pytest.param(["1 .1 .1 .2 .2 .3 .3"], True, id="polygon"),
        pytest.param(["cat .1 .1 .2 .2"], True, id="class by name"),
        pytest.param(["0 0,5 0,5 0,1 0,1"], True, id="decimal commas"),
        pytest.param(["0 15 131 68 150"], True, id="pixels, which YOLO's reader refuses"),
        pytest.param(["", "\n", LINE], True, id="after empty files"),
        pytest.param([f"# x, y, w, h, more\n{LINE}"], False, id="a comment with commas"),
        pytest.param(["0, 15, 131, 68, 150"], False, id="ark"),
        pytest.param(["0,0.5,0.5,0.1,0.1"], False, id="ark with shares"),
        pytest.param(["0;1;2;3;4"], False, id="semicolons"),
        pytest.param(["hello world\n", "0,1,2,3,4"], False, id="words before"),
        pytest.param(["", ""], False, id="empty files"),
        pytest.param([], False, id="no files"),
    ],
)
def test_recognised_over_the_set(tmp_path: Path, texts: Sequence[str], is_yolo: bool) -> None:
    paths = [tmp_path / "missing.txt"]
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.txt")
        paths[-1].write_text(text)
    assert looks_like_yolo(paths) == is_yolo
