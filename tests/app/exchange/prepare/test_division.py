"""The division between training and validation: whole units, the same for any order of files."""

import os
import random
from datetime import datetime
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from app.engine.data.problems import Problems
from app.engine.errors import DatasetError
from app.exchange.prepare.division import COPY_IN_TRAIN, Division, Images, divide, moment_of
from app.exchange.prepare.request import Rule
from app.exchange.sources import Split
from tests.app.exchange.scenes import paint


def images(number: int, *, copies: list[list[int]] | None = None, folders: int = 1) -> Images:
    """Images f0/00, f1/01, f0/02, ... that no set is said of."""
    names = [f"f{i % folders}/{i:02}" for i in range(number)]
    return Images(names, [Path(name) for name in names], [None] * number, copies or [])


def draw(
    given: Images, rule: Rule = "random", *, val: float = 0.2, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Training and validation."""
    division = divide(given, rule, val=val, seed=seed, problems=Problems())
    assert division.sets["test"] == []
    train, validation = division.sets["train"], division.sets["val"]
    assert sorted(train + validation) == list(range(len(given.names)))
    return train, validation


@pytest.mark.parametrize(
    ("number", "val", "expected"),
    [
        pytest.param(1, 0.2, 0, id="one image is for training"),
        pytest.param(2, 0.2, 1, id="two"),
        pytest.param(2, 0.9, 1, id="one is always left"),
        pytest.param(5, 0.2, 1, id="five"),
        pytest.param(10, 0.25, 2, id="rounded"),
        pytest.param(100, 0.2, 20, id="a hundred"),
        pytest.param(100, 0, 0, id="no validation"),
    ],
)
def test_the_share_of_validation(number: int, val: float, expected: int) -> None:
    assert len(draw(images(number), val=val)[1]) == expected


def test_the_seed_and_nothing_else_decides() -> None:
    given = images(30, copies=[[3, 4, 5], [7, 20]])
    first = draw(given, seed=1)
    assert draw(given, seed=1) == first
    assert draw(given, seed=2) != first
    order = random.Random(5).sample(range(30), 30)
    place = {old: new for new, old in enumerate(order)}
    shuffled = Images(
        [given.names[i] for i in order],
        [given.paths[i] for i in order],
        given.splits,
        [[place[7], place[20]], [place[i] for i in (5, 3, 4)]],
    )
    assert sorted(order[i] for i in draw(shuffled, seed=1)[1]) == first[1]


@pytest.mark.parametrize("seed", range(8))
def test_copies_stay_together_also_through_others(seed: int) -> None:
    train, validation = draw(images(12, copies=[[0, 1], [1, 2], [5, 9]]), val=0.4, seed=seed)
    for together in ({0, 1, 2}, {5, 9}):
        assert together <= set(train) or together <= set(validation)


def test_many_copies_do_not_swell_the_validation() -> None:
    train, validation = draw(images(20, copies=[list(range(15))]), val=0.2)
    assert len(validation) == 4
    assert set(range(15)) <= set(train)


@pytest.mark.parametrize("seed", range(4))
def test_whole_folders(seed: int) -> None:
    given = images(20, folders=5)
    validation = draw(given, "folder", seed=seed)[1]
    assert len(validation) == 4
    assert len({given.names[i].partition("/")[0] for i in validation}) == 1


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(images(3), id="one folder"),
        pytest.param(images(4, folders=2, copies=[[0, 1]]), id="copies connect two folders"),
    ],
)
def test_one_folder_cannot_be_divided(given: Images) -> None:
    with pytest.raises(DatasetError, match="in one folder"):
        draw(given, "folder")


def dated(path: Path, day: int | None, *, file_day: int = 1) -> Path:
    """An image taken on a day of May, by EXIF, or else by the time of its file."""
    exif = Image.Exif()
    if day is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = (
            f"2024:05:{day:02} 12:00:00"
        )
    paint(path, (20, 10), exif=exif)
    moment = datetime(2024, 5, file_day, 12).timestamp()
    os.utime(path, (moment, moment))
    return path


def test_the_latest_are_for_validation(tmp_path: Path) -> None:
    days: list[int | None] = [4, 9, 2, None, 7]
    paths = [dated(tmp_path / f"{i}.jpg", day, file_day=8) for i, day in enumerate(days)]
    given = Images([path.name for path in paths], paths, [None] * 5)
    assert draw(given, "time", val=0.4)[1] == [1, 3]
    # The first image of a unit decides, so that no training image is later than its copy.
    given = Images(given.names, paths, given.splits, [[1, 2]])
    assert draw(given, "time", val=0.4)[1] == [3, 4]
    division = divide(given, "time", val=0.4, seed=0, problems=Problems())
    assert "EXIF of 4 images and the time of the file of 1" in division.how


def test_moments(tmp_path: Path) -> None:
    assert moment_of(dated(tmp_path / "a.jpg", 3)) == (datetime(2024, 5, 3, 12), True)
    assert moment_of(dated(tmp_path / "b.png", None)) == (datetime(2024, 5, 1, 12), False)
    (tmp_path / "c.jpg").write_text("no picture")
    assert moment_of(tmp_path / "c.jpg")[1] is False


# --- Sets that the source says ---


def said(
    splits: str, rule: Rule = "auto", *, copies: list[list[int]] | None = None
) -> tuple[Division, dict[str, int]]:
    """Divide images whose sets are letters; `-` for none."""
    words: dict[str, Split] = {"t": "train", "v": "val", "x": "test"}
    names = [f"{i:02}" for i in range(len(splits))]
    given = Images(names, list(map(Path, names)), [words.get(s) for s in splits], copies or [])
    problems = Problems()
    return divide(given, rule, val=0.2, seed=0, problems=problems), dict(problems.counts)


@pytest.mark.parametrize(
    ("splits", "copies", "sets", "lost"),
    [
        pytest.param("ttvvx", [], ([0, 1], [2, 3], [4]), 0, id="as said"),
        pytest.param("tt-v", [], ([0, 1, 2], [3], []), 0, id="the rest is for training"),
        pytest.param("ttvvx", [[1, 3], [0, 4]], ([0, 1], [2], []), 2, id="copies are left out"),
        pytest.param("ttvvx", [[0, 1], [2, 3]], ([0, 1], [2, 3], [4]), 0, id="copies in one set"),
        pytest.param("tvvx", [[2, 3]], ([0], [1, 2], [3]), 0, id="of validation and test"),
    ],
)
def test_what_the_source_says(
    splits: str, copies: list[list[int]], sets: tuple[list[int], ...], lost: int
) -> None:
    division, problems = said(splits, copies=copies)
    assert tuple(division.sets.values()) == sets
    assert division.how == "as the source says"
    assert problems == ({COPY_IN_TRAIN: lost} if lost else {})


@pytest.mark.parametrize(
    ("splits", "copies", "words"),
    [
        pytest.param("tttttx", [], "has no validation", id="no validation set"),
        pytest.param("ttttv", [[0, 4]], "on its training images only", id="copies only"),
    ],
)
def test_a_validation_set_is_drawn_where_the_source_has_none(
    splits: str, copies: list[list[int]], words: str
) -> None:
    division, problems = said(splits, copies=copies)
    assert words in division.how
    assert "at random, 20% for validation (--seed 0)" in division.how
    assert len(division.sets["val"]) == 1
    assert division.sets["test"] == [5] * ("x" in splits)
    assert problems == {}


def test_a_rule_overrides_the_source_but_for_its_test_set() -> None:
    division, problems = said("tvttvtttvtxx", "random", copies=[[0, 10]])
    assert sum(map(len, division.sets.values())) == 11
    assert division.sets["test"] == [11]
    assert problems == {COPY_IN_TRAIN: 1}


def test_a_source_that_says_nothing() -> None:
    assert said("-----")[0].how == "at random, 20% for validation (--seed 0)"
    with pytest.raises(DatasetError, match="does not say"):
        said("-----", "source")
    assert said("---xx")[0].sets["test"] == [3, 4]
