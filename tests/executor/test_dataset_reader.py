import logging
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from executor.dataset_reader import (
    Asset,
    CandidateIndex,
    iter_index,
    read_candidates,
    read_training_index,
    read_val_index,
)
from executor.errors import DatasetError


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index.tsv"


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


def test_candidates(index: Path):
    with pytest.raises(DatasetError, match="candidate_index_file is not set"):
        read_candidates(None)
    index.write_text("")
    assert read_candidates(index) == []


def test_candidates_by_position(index: Path):
    index.write_bytes("/a\r\n\n/b\t/b.txt\n/a\n/ä\n/b\n/c".encode())
    candidates = CandidateIndex(index)
    names = ["/a", "/b", "/ä", "/c"]
    assert len(candidates) == 4
    for start in range(5):
        assert [asset.image_text for asset in candidates.since(start)] == names[start:]
    assert [asset.image_text for asset in candidates.pick([3, 0, 2, 2])] == ["/c", "/a", "/ä", "/ä"]


def test_many_candidates_are_cheap(index: Path, caplog: pytest.LogCaptureFixture):
    num = 200_000
    index.write_text("".join(f"/in/assets/{i % 100:02d}/{i:040d}.jpg\n" for i in range(num)))
    start = time.process_time()
    tracemalloc.start()
    candidates = CandidateIndex(index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(candidates) == num
    assert peak < 20_000_000
    with index.open("a") as stream:
        stream.write("/in/assets/00/" + f"{0:040d}.jpg\n" * 2)
    assert sum(1 for _ in CandidateIndex(index)) == num + 1
    assert time.process_time() - start < 6
    assert "1 repeated images are taken once" in caplog.text
