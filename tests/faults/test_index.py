"""Malformed index files, read by every task."""

import logging
import os
from pathlib import Path

import pytest
from PIL import Image

from app.engine.errors import CheckpointError, EngineError
from app.engine.trained.model_files import find_model
from app.tasks.records import read_records
from executor.candidates import Candidates
from executor.dataset_reader import Asset, read_training_index, read_val_index
from executor.errors import DatasetError


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index.tsv"


def names(index: Path, content: bytes) -> list[str]:
    index.write_bytes(content)
    return [asset.image_text for asset in Candidates(index)]


NAMES = {
    "spaces": b"/in/ a  b .jpg",
    "composed": "/in/\u00fc.jpg".encode(),
    "decomposed": "/in/u\u0308.jpg".encode(),
    "not UTF-8": b"/in/\xfc\xff.jpg",
    "quotes": b"/in/\"a' b`.jpg",
    "no break": "/in/a\u00a0b\u2028c\x85d.jpg".encode(),
    "form feed": b"/in/a\x0bb\x0cc\x1cd.jpg",
    "percent": b"/in/a%20b%s{0}.jpg",
    "hash": b"# not a comment.jpg",
    "long": b"/in/" + b"a" * 4096,
    "relative": b"assets/a.jpg",
    "dots": b"/in/assets/.././a.jpg",
    "carriage return inside": b"/in/a\rb.jpg",
    "backslash": b"C:\\in\\a.jpg",
}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"\t\n", b"\n\n\n"], ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_names_come_back_byte_by_byte(name: str, end: bytes, index: Path):
    assert [os.fsencode(text) for text in names(index, NAMES[name] + end)] == [NAMES[name]]


def test_composed_and_decomposed_names_are_two_images(index: Path):
    content = "/in/\u00fc.jpg\n/in/u\u0308.jpg\n/in/\u00fc.jpg\n".encode()
    assert names(index, content) == ["/in/u\u0308.jpg", "/in/\u00fc.jpg"]


def test_only_tabs_separate(index: Path):
    index.write_bytes(b"/in/a b.jpg \t /in/a b.txt\tmore\tcolumns\n/in/c.jpg\n")
    assert read_training_index(index) == [
        Asset("/in/a b.jpg ", " /in/a b.txt"),
        Asset("/in/c.jpg", None),
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"\t\t\n", b" \r\n", b"\xef\xbb\xbf\n"],
    ids=["empty", "line ends", "tabs", "blanks", "byte order mark alone"],
)
def test_an_index_without_images(content: bytes, index: Path):
    assert names(index, content) == []
    with pytest.raises(DatasetError, match="the training index is empty"):
        read_training_index(index)
    assert read_val_index(index) == []


def test_a_byte_order_mark_is_no_part_of_the_first_name(index: Path):
    assert names(index, b"\xef\xbb\xbf/in/a.jpg\n/in/b.jpg\n") == ["/in/a.jpg", "/in/b.jpg"]


def test_duplicates_are_told_and_taken_once(index: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    assert names(index, b"/a\n/b\n/a\tx\n/a\n") == ["/a", "/b"]
    assert "2 repeated images" in caplog.text


@pytest.mark.parametrize("kind", ["folder", "missing", "circle"])
def test_an_index_that_is_no_file(kind: str, index: Path):
    if kind == "folder":
        index.mkdir()
    elif kind == "circle":
        index.symlink_to(index)
    for read in (Candidates, read_training_index):
        with pytest.raises(DatasetError, match="index cannot be read"):
            read(index)


SECRETS = ["/etc/shadow", "../../../../etc/shadow", "/proc/self/environ", "/dev/zero"]


@pytest.mark.parametrize("path", SECRETS)
def test_annotations_that_lead_elsewhere_tell_nothing(
    path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """The platform's own files lead out of /in by links; but nothing but numbers is read."""
    monkeypatch.setenv("TOKEN", "canary")
    caplog.set_level(logging.DEBUG)
    image = tmp_path / "a.png"
    Image.new("RGB", (32, 24)).save(image)
    told: list[str] = []
    for word in ("ark:raw", "voc:raw", "coco:raw"):
        try:
            records = read_records([Asset(str(image), path)], word, ["cat"], name="training")
            assert not any(len(record) for record in records)
        except EngineError as error:
            told.append(str(error))
    for text in (caplog.text, *told):
        assert "canary" not in text
        assert "root:" not in text


@pytest.mark.parametrize("path", ["/etc/passwd", "MODELS/../secret.pth", "MODELS/link.pth"])
def test_models_must_lie_below_their_folder(path: str, tmp_path: Path):
    models = tmp_path / "models"
    models.mkdir()
    (tmp_path / "secret.pth").write_bytes(b"x")
    (models / "link.pth").symlink_to(tmp_path / "secret.pth")
    with pytest.raises(CheckpointError, match="must lie in"):
        find_model([Path(path.replace("MODELS", str(models)))], models)
