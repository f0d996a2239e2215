"""In which format annotation files are read."""

from pathlib import Path

import numpy as np
import pytest

from app.engine.structures.sample import ImageRecord
from app.tasks.records import format_of, require_objects
from executor.errors import DatasetError


@pytest.mark.parametrize(
    ("file", "export_format", "format", "is_told"),
    [
        pytest.param("a.xml", "voc:raw", "voc", False, id="as asked"),
        pytest.param("a.XML", "ark:raw", "voc", True, id="not as asked"),
        pytest.param("a.xml", "", "voc", False, id="nobody asked"),
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
