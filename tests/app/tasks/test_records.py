"""In which format annotation files are read."""

from pathlib import Path

import pytest

from app.tasks.records import format_of


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
