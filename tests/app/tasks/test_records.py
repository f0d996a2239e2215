"""The format in which annotation files are read, and the log lines about a set."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.engine.data.formats import Decisions
from app.engine.errors import DatasetError as EngineDatasetError
from app.engine.structures.record import ImageRecord
from app.tasks.records import format_of, read_records, require_objects
from executor.dataset_reader import Asset
from executor.errors import DatasetError

ARK, YOLO = "0, 1, 2, 9, 9\n", "0 0.5 0.5 0.25 0.5\n"


@pytest.mark.parametrize(
    ("file", "export_format", "format", "is_told"),
    [
        pytest.param("a.xml", "voc:raw", "voc", False, id="as asked"),
        pytest.param("a.XML", "ark:raw", "voc", True, id="not as asked"),
        pytest.param("a.xml", "", "voc", False, id="nobody asked"),
        pytest.param("a.JSON.gz", "", "coco", False, id="compressed"),
        pytest.param("a.txt", "", "ark", False, id="nobody asked, an old platform"),
        pytest.param("a.json", "seg-coco:raw", "coco", False, id="another name for it"),
        pytest.param("a", "voc:raw", "voc", False, id="no suffix"),
    ],
)
def test_formats(
    file: str, export_format: str, format: str, is_told: bool, caplog: pytest.LogCaptureFixture
):
    assert format_of([Path(file)], export_format) == format
    assert ("export_format is" in caplog.text) == is_told


def test_crowds_alone_are_nothing_to_learn_from() -> None:
    record = ImageRecord(
        path=Path("a.png"),
        height=4,
        width=4,
        boxes=np.array([[0, 0, 2, 2]], np.float32),
        classes=np.zeros(1, np.int64),
        image_id=0,
        crowd=np.ones(1, np.bool_),
    )
    with pytest.raises(DatasetError, match="all 1 objects are marked as crowds"):
        require_objects([record], ["cat"])


@pytest.mark.parametrize(
    ("texts", "export_format", "format", "is_told"),
    [
        pytest.param([YOLO], "", "yolo", False, id="nobody asked"),
        pytest.param([YOLO], "ark:raw", "yolo", True, id="ark asked"),
        pytest.param([YOLO], "voc:raw", "yolo", True, id="VOC asked"),
        pytest.param(["", YOLO], "", "yolo", False, id="the first file is empty"),
        pytest.param([ARK], "ark:raw", "ark", False, id="ark"),
        pytest.param(["", ""], "ark:raw", "ark", False, id="nothing in them"),
    ],
)
def test_yolo_is_known_by_its_lines(
    texts, export_format: str, format: str, is_told: bool, tmp_path: Path, caplog
):
    paths = [tmp_path / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    assert format_of(paths, export_format) == format
    assert ("export_format is" in caplog.text) == is_told


def test_several_formats_in_an_index_are_refused():
    paths = [Path("a.xml"), Path("b.XML"), Path("c.txt")]
    with pytest.raises(DatasetError, match=r"2 voc \(a\.xml\), 1 ark \(c\.txt\)"):
        format_of(paths, "")


def _assets(folder: Path, texts: list[str], suffix: str = ".txt") -> list[Asset]:
    assets = []
    for number, text in enumerate(texts):
        image, annotation = folder / f"{number}.png", folder / f"{number}{suffix}"
        Image.linear_gradient("L").resize((32, 24)).save(image)
        annotation.write_text(text)
        assets.append(Asset(str(image), str(annotation)))
    return assets


def test_ark_and_yolo_in_one_set_are_refused_with_a_line_of_each(tmp_path: Path):
    assets = _assets(tmp_path, [ARK, YOLO])
    with pytest.raises(EngineDatasetError, match=r"1\.txt:1 \(and .*0\.txt:1 of the other kind"):
        read_records(assets, "", ["cat"], name="training")


def test_yolo_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    (record,) = read_records(_assets(tmp_path, [YOLO]), "ark:raw", ["cat"], name="training")
    assert record.boxes.tolist() == [[12, 6, 20, 18]]
    assert "training set: labels are read as YOLO's" in caplog.text


def test_validation_keeps_to_the_corners_of_training(tmp_path: Path):
    def text(x1: str) -> str:
        corners = f"<xmin>1</xmin><ymin>2</ymin><xmax>{x1}</xmax><ymax>9</ymax>"
        box = f"<bndbox>{corners}</bndbox>"
        return f"<annotation><object><name>cat</name>{box}</object></annotation>"

    decisions = Decisions()
    found = []
    for name, x1 in (("training", "9.5"), ("validation", "9")):
        (tmp_path / name).mkdir()
        assets = _assets(tmp_path / name, [text(x1)], ".xml")
        (record,) = read_records(assets, "", ["cat"], name=name, decisions=decisions)
        found.append(record.boxes.tolist())
    assert found == [[[1, 2, 9.5, 9]], [[1, 2, 9, 9]]]
