"""Candidates are sorted, found again by their positions, and cheap however many they are."""

import random
import tracemalloc
from pathlib import Path

import pytest

from executor import candidates as module
from executor.candidates import Candidates
from executor.errors import DatasetError


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index.tsv"


def test_no_index_and_an_empty_one(index: Path):
    with pytest.raises(DatasetError, match="candidate_index_file is not set"):
        Candidates(None)
    index.write_text("")
    assert list(Candidates(index)) == []
    assert list(Candidates(index).as_listed()) == []


def test_candidates_by_position(index: Path):
    index.write_bytes("\ufeff/d\r\n\n/b\t/b.txt\n/d\n/\u00e4\n/b\n/a".encode())
    candidates = Candidates(index)
    assert len(candidates) == 4
    assert [asset.image_text for asset in candidates] == ["/a", "/b", "/d", "/\u00e4"]
    found = candidates.at([3, 0, 2, 2])
    assert [asset.image_text for asset in found] == ["/\u00e4", "/a", "/d", "/d"]
    assert list(candidates.as_listed()) == [2, 1, 3, 0]
    assert next(candidates.at([1])).annotation_text == "/b.txt"


@pytest.mark.parametrize("run", [1, 2, 7, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 29])
def test_every_order_is_sorted_alike(
    index: Path, run: int, count: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_RUN", run)
    names = [f"/in/{number}.jpg" for number in range(count)]
    random.Random(run).shuffle(names)
    index.write_text("\n".join(names))
    candidates = Candidates(index)
    assert [asset.image_text for asset in candidates] == sorted(names)
    listed = candidates.at(candidates.as_listed())
    assert [asset.image_text for asset in listed] == names


def test_an_index_that_goes_away_is_told(index: Path):
    index.write_text("/a\n/b\n")
    candidates = Candidates(index)
    index.unlink()
    with pytest.raises(DatasetError, match="index cannot be read"):
        list(candidates)


def test_many_candidates_are_cheap(index: Path, caplog: pytest.LogCaptureFixture):
    num = 200_000
    index.write_text("".join(f"/in/assets/{i % 100:02d}/{i:040d}.jpg\n" for i in range(num)))
    tracemalloc.start()
    candidates = Candidates(index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(candidates) == num
    assert peak < 20_000_000
    with index.open("a") as stream:
        stream.write("/in/assets/00/" + f"{0:040d}.jpg\n" * 2)
    assert sum(1 for _ in Candidates(index)) == num + 1
    assert "1 repeated images are taken once" in caplog.text
