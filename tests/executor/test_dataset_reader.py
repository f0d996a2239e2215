import logging
import os
from pathlib import Path

import pytest

from executor.candidates import Candidates
from executor.dataset_reader import (
    Asset,
    iter_index,
    read_training_index,
    read_val_index,
    require_files,
)
from executor.errors import DatasetError


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index.tsv"


def read_candidates(path: Path) -> list[Asset]:
    """All candidates, as the index lists them."""
    candidates = Candidates(path)
    return list(candidates.at(candidates.as_listed()))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("/in/a.jpg\n", [("/in/a.jpg", None)], id="one column"),
        pytest.param("/in/a.jpg\t\n", [("/in/a.jpg", None)], id="TAB, then nothing"),
        pytest.param("/in/a.jpg\t/in/a.txt", [("/in/a.jpg", "/in/a.txt")], id="no last newline"),
        pytest.param("/in/a b.JPG\n", [("/in/a b.JPG", None)], id="space"),
        pytest.param("/in/ä\u00a0.jpg \n", [("/in/ä\u00a0.jpg ", None)], id="spaces kept"),
        pytest.param(
            "/in/a.jpg\r\n/in/b.jpg\r\n", [("/in/a.jpg", None), ("/in/b.jpg", None)], id="CRLF"
        ),
        pytest.param("\n/in/a.jpg\n\n  \n", [("/in/a.jpg", None)], id="blank lines"),
        pytest.param("/in/./a.jpg\n", [("/in/./a.jpg", None)], id="dot folder kept"),
        pytest.param("/a\n/b\n/a\n", [("/a", None), ("/b", None)], id="duplicates once"),
        pytest.param("/a\x0b\x85\u2028b\n", [("/a\x0b\x85\u2028b", None)], id="odd line breaks"),
    ],
)
def test_lines(index: Path, content: str, expected: list[tuple[str, str | None]]):
    index.write_bytes(content.encode())
    assert [(a.image_text, a.annotation_text) for a in iter_index(index)] == expected
    assert read_candidates(index) == list(iter_index(index))


def test_paths():
    asset = Asset("/in/./a.jpg", "/in/a.txt")
    assert asset.image == Path("/in/a.jpg")
    assert asset.annotation == Path("/in/a.txt")
    assert Asset("/in/a.jpg").annotation is None


def test_bytes_that_are_no_text_survive(index: Path, tmp_path: Path):
    name = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    Path(os.fsdecode(name)).write_bytes(b"x")
    index.write_bytes(name + b"\n")
    (asset,) = read_candidates(index)
    assert asset.image.read_bytes() == b"x"
    assert os.fsencode(asset.image_text) == name


def test_training_needs_images(index: Path):
    with pytest.raises(DatasetError, match="training_index_file is not set"):
        read_training_index(None)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_training_index(index)
    index.write_text("\n")
    with pytest.raises(DatasetError, match="training index is empty") as caught:
        read_training_index(index)
    assert caught.value.code == 300002


@pytest.mark.parametrize("content", ["/a\n/b\n", "/in/a.jpg /in/a.txt\n"])
def test_training_needs_annotations(index: Path, content: str):
    index.write_text(content)
    with pytest.raises(DatasetError, match=r"no line names an annotation .* a TAB"):
        read_training_index(index)


def test_training_images_without_annotation_are_told(index: Path, caplog: pytest.LogCaptureFixture):
    index.write_text("/a\t/a.txt\n/b\n")
    assert len(read_training_index(index)) == 2
    assert "1 of 2 images have no annotation file and are left out, such as /b" in caplog.text


@pytest.mark.parametrize("how", ["unset", "missing", "empty"])
def test_validation_may_be_empty(index: Path, how: str, caplog: pytest.LogCaptureFixture):
    if how == "empty":
        index.write_text("")
    with caplog.at_level(logging.WARNING):
        assert read_val_index(None if how == "unset" else index) == []
    assert "models cannot be compared by AP" in caplog.text


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with `a b.jpg`, `a b.xml`, `c.jpg` and `c.xml`; the index lies beside it."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in ("a b.jpg", "a b.xml", "c.jpg", "c.xml"):
        (folder / name).write_text(name)
    return folder


ODD_PATHS = [
    pytest.param("{folder}/c.jpg ", "without blanks at their ends", id="a blank at the end"),
    pytest.param(" {folder}/c.jpg", "without blanks at their ends", id="a blank in front"),
    pytest.param("{folder}/c.jpg\r", "without blanks at their ends", id="two carriage returns"),
    pytest.param("{folder}/a b.jpg\u00a0", "without blanks at their ends", id="a wide blank"),
    pytest.param('"{folder}/a b.jpg"', "without quotes", id="quotes"),
    pytest.param("'{folder}/a b.jpg' ", "without quotes", id="quotes and a blank"),
    pytest.param("assets/c.jpg", "from the index's folder", id="relative"),
    pytest.param("./assets/c.jpg", "from the index's folder", id="relative with a dot"),
    pytest.param("assets\\c.jpg", "with / for \\, from the index's folder", id="backslash"),
    pytest.param("file://{folder}/a%20b.jpg", "as addresses", id="an address"),
]


@pytest.mark.parametrize(("written", "how"), ODD_PATHS)
def test_odd_paths_are_read_as_they_are_meant(
    index: Path, photographs: Path, written: str, how: str, caplog: pytest.LogCaptureFixture
):
    """The file is found, the name is kept byte by byte, and the log has the number."""
    text = written.format(folder=photographs)
    index.write_bytes(f"{photographs}/c.xml\n{text}\r\n".encode())
    _, asset = read_candidates(index)
    assert asset.image.is_file()
    assert asset.image.parent == photographs
    assert asset.image_text == text
    assert f"1 paths do not exist as they are written and are read {how}, such as" in caplog.text


@pytest.mark.parametrize(("written", "how"), ODD_PATHS)
def test_annotations_likewise(index: Path, photographs: Path, written: str, how: str):
    text = written.format(folder=photographs).replace(".jpg", ".xml")
    index.write_bytes(f"{photographs}/c.jpg\t{text}\n".encode())
    (asset,) = read_training_index(index)
    assert asset.annotation is not None
    assert asset.annotation.is_file()


def test_a_path_that_exists_is_taken_as_it_is_written(
    index: Path, photographs: Path, caplog: pytest.LogCaptureFixture
):
    odd = photographs / "c.jpg "
    odd.write_text("another one")
    index.write_bytes(f"{odd}\n{photographs}/c.jpg\n{photographs}/none.jpg \n".encode())
    first, second, third = read_candidates(index)
    assert first.image == odd
    assert second.image == photographs / "c.jpg"
    assert third.image == photographs / "none.jpg "
    assert not caplog.text


@pytest.mark.parametrize("separator", [" ", "   ", ",", ", ", ";", "|", "\\t", "\t\t", " \t "])
def test_other_separators(
    index: Path, photographs: Path, separator: str, caplog: pytest.LogCaptureFixture
):
    lines = [
        f"{photographs}/{name}.jpg{separator}{photographs}/{name}.xml" for name in ("a b", "c")
    ]
    index.write_text("\n".join(lines))
    assert [(asset.image, asset.annotation) for asset in read_training_index(index)] == [
        (photographs / "a b.jpg", photographs / "a b.xml"),
        (photographs / "c.jpg", photographs / "c.xml"),
    ]
    if "\t" not in separator:
        assert "2 of 2 lines have something else in place of the TAB" in caplog.text


@pytest.mark.parametrize(
    "header",
    [
        "image\tannotation",
        "# image",
        '"image_path"\t"label_path"',
        "\ufeffFile Name\tLabel",
        "Path",
        "image,annotation",
        "Image Path Annotation Path",
    ],
)
def test_a_header_is_no_image(
    index: Path, photographs: Path, header: str, caplog: pytest.LogCaptureFixture
):
    index.write_bytes(f"{header}\n{photographs}/c.jpg\t{photographs}/c.xml\n".encode())
    for assets in (read_candidates(index), read_training_index(index)):
        assert [asset.image for asset in assets] == [photographs / "c.jpg"]
    assert "the first line is read as a header" in caplog.text


def test_an_image_of_that_name_is_no_header(index: Path, tmp_path: Path):
    (tmp_path / "image").write_text("x")
    index.write_text(f"image\n{tmp_path}/path\npath\n")
    names = [asset.image_text for asset in read_candidates(index)]
    assert names == ["image", f"{tmp_path}/path", "path"]


@pytest.mark.parametrize(
    "name", ["image 001.jpg", "images/a.jpg", "image.jpg", "file", "/in/image"]
)
def test_a_missing_image_is_no_header(index: Path, name: str):
    """But for a bare `file`, which cannot be told apart."""
    index.write_text(f"{name}\n/in/b.jpg\n")
    assert len(read_candidates(index)) == (1 if name == "file" else 2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(
            "{0}/c.xml\t{0}/c.jpg\n{0}/a b.xml\t{0}/a b.jpg\n",
            r"2 of 2 lines begin with no image.* columns are swapped",
            id="columns swapped",
        ),
        pytest.param(
            "{0}/c.jpg\t{0}/c.xml\r{0}/a b.jpg\t{0}/a b.xml\r",
            "the lines end in carriage returns alone",
            id="line ends of old Macintoshes",
        ),
    ],
)
def test_what_cannot_be_right(index: Path, photographs: Path, content: str, sentence: str):
    index.write_bytes(content.format(photographs).encode())
    for read in (read_training_index, read_val_index, read_candidates):
        with pytest.raises(DatasetError, match=sentence):
            read(index)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_other_encodings_are_named(index: Path, encoding: str):
    index.write_bytes("\ufeff/in/a.jpg\n".encode(encoding))
    with pytest.raises(DatasetError, match="the index is UTF-16; save it as UTF-8"):
        read_candidates(index)


@pytest.mark.parametrize(
    ("image", "annotation", "sentence"),
    [
        pytest.param(
            "/nowhere/assets/{}.jpg",
            "{folder}/c.xml",
            r"none of the images is there, such as '/nowhere/assets/0.jpg': there is no folder"
            " /nowhere here",
            id="no folder of images",
        ),
        pytest.param(
            "{folder}/c.jpg",
            "{folder}/x/{}.xml",
            "none of the annotations is there.* there is no folder .*/assets/x here",
            id="no folder of annotations",
        ),
        pytest.param(
            "{folder}/{}.jpg", "{folder}/c.xml", "the folder .*/assets has no such", id="no files"
        ),
    ],
)
def test_a_missing_folder_is_named(
    index: Path, photographs: Path, image: str, annotation: str, sentence: str
):
    lines = [f"{image}\t{annotation}".format(number, folder=photographs) for number in range(50)]
    index.write_text("\n".join(lines))
    assets = read_training_index(index) if "{}" in image else read_training_index(index) * 50
    with pytest.raises(DatasetError, match=sentence):
        require_files(index, assets)


def test_one_file_that_is_there_is_enough(index: Path, photographs: Path):
    """No error: the missing ones are for the account of the whole set."""
    missing = Asset("/nowhere/a.jpg", "/nowhere/a.xml")
    there = Asset(str(photographs / "c.jpg"), str(photographs / "c.xml"))
    with pytest.raises(DatasetError):
        require_files(index, [missing])
    require_files(index, [missing, there])
    require_files(index, [])
    require_files(index, [Asset("/nowhere/without-annotation.jpg")])
