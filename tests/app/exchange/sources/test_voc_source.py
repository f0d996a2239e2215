"""PASCAL VOC: lists, flat folders, equal names, and what has no partner."""

from pathlib import Path

import pytest

from app.engine.data.problems import Effect
from app.engine.errors import DatasetError
from app.exchange.sources._pairing import NO_IMAGE, SEVERAL_FILES, SEVERAL_IMAGES
from app.exchange.sources._source import SEVERAL_SETS, UNLABELLED
from app.exchange.sources.voc import UNLISTED
from tests.app.exchange.conftest import Reader, counts
from tests.app.exchange.scenes import paint


def write(path: Path, name: str = "cat", *, x: int = 1, filename: str = "", more: str = "") -> None:
    """Write a file with one box, `x` 2 11 8 with inclusive maxima, for an image of 20 x 10."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><filename>{filename}</filename><size><width>20</width><height>10</height>"
        f"</size><object><name>{name}</name>{more}<bndbox><xmin>{x}</xmin><ymin>2</ymin>"
        "<xmax>11</xmax><ymax>8</ymax></bndbox></object></annotation>"
    )


def box(x: int = 1, name: str = "cat") -> list[tuple[str, list[float]]]:
    """What is read of that."""
    return [(name, [x, 2, 12, 9])]


def pascal(source: Path, names: str) -> None:
    """JPEGImages and Annotations."""
    for name in names:
        paint(source / f"JPEGImages/{name}.png", (20, 10))
        write(source / f"Annotations/{name}.xml")


def lists(source: Path, **names: str) -> None:
    """ImageSets/Main with one letter a name."""
    (source / "ImageSets/Main").mkdir(parents=True)
    for split, letters in names.items():
        (source / f"ImageSets/Main/{split}.txt").write_text("\n".join(letters))


@pytest.mark.parametrize(
    ("listed", "splits", "problems"),
    [
        pytest.param(
            {"train": "ab", "val": "c", "trainval": "abc", "test": "d"},
            {"a": "train", "b": "train", "c": "val", "d": "test"},
            {},
            id="all lists",
        ),
        pytest.param(
            {"trainval": "abc"},
            {"a": "train", "b": "train", "c": "train"},
            {UNLISTED: 1},
            id="trainval alone",
        ),
        pytest.param(
            {"train": "abd", "val": "bc"},
            {"a": "train", "b": "train", "c": "val", "d": "train"},
            {SEVERAL_SETS: 1},
            id="in two lists",
        ),
        pytest.param({}, {}, {}, id="no lists"),
    ],
)
def test_lists(
    source: Path,
    reader: Reader,
    listed: dict[str, str],
    splits: dict[str, str],
    problems: dict[str, int],
) -> None:
    pascal(source, "abcd")
    lists(source, **listed)
    content = reader.content("voc")
    assert {Path(name).stem: split for name, split in reader.splits_in(content).items()} == splits
    assert counts(content) == problems
    assert content.num_listed == 4


def test_lines_of_a_list(source: Path, reader: Reader) -> None:
    for name in ("a b", "c"):
        paint(source / f"JPEGImages/{name}.png", (20, 10))
        write(source / f"Annotations/{name}.xml")
    (source / "ImageSets/Main").mkdir(parents=True)
    (source / "ImageSets/Main/train.txt").write_bytes(b"a b  1\r\n\r\n")
    (source / "ImageSets/Main/val.txt").write_text("JPEGImages/c.png -1\n")
    splits = reader.splits_in(reader.content("voc"))
    assert splits == {"JPEGImages/a b.png": "train", "JPEGImages/c.png": "val"}


def test_lists_of_other_images_are_refused(source: Path, reader: Reader) -> None:
    pascal(source, "a")
    lists(source, train="xyz")
    with pytest.raises(DatasetError, match=r"ImageSets/Main/train.txt name no image"):
        reader.content("voc")


@pytest.mark.parametrize(
    ("annotation", "image"),
    [
        pytest.param("a.xml", "a.png", id="side by side"),
        pytest.param("xml/a.xml", "img/a.png", id="folders of their own"),
        pytest.param("day1/labels/a.xml", "day1/images/a.png", id="folders within folders"),
        pytest.param("images/day1/a.xml", "labels/day1/a.png", id="folders above folders"),
        pytest.param("a.png.xml", "a.png", id="the suffix twice"),
        pytest.param("x/a.xml", "y/a.png", id="other folders, one name"),
        pytest.param("4711.xml", "a.png", id="another name, said in the file"),
    ],
)
def test_partners(source: Path, reader: Reader, annotation: str, image: str) -> None:
    paint(source / image, (20, 10))
    write(source / annotation, filename="a.png")
    assert reader.boxes("voc") == {image: box()}


def test_the_same_name_in_several_folders(source: Path, reader: Reader) -> None:
    for x, folder in enumerate(("train", "valid")):
        paint(source / folder / "1.png", (20, 10), x)
        write(source / folder / "1.xml", x=x)
    content = reader.content("voc")
    assert reader.boxes_in(content) == {"train/1.png": box(0), "valid/1.png": box(1)}
    assert reader.splits_in(content) == {"train/1.png": "train", "valid/1.png": "val"}


def test_what_has_no_partner(source: Path, reader: Reader) -> None:
    for name in ("x/1.png", "y/1.png", "2.png", "3.png"):
        paint(source / name, (20, 10))
    for name in ("z/1.xml", "2.xml", "z/2.xml", "4.xml"):
        write(source / name)
    content = reader.content("voc")
    assert reader.boxes_in(content) == {"2.png": box()}
    assert counts(content) == {SEVERAL_IMAGES: 1, NO_IMAGE: 1, SEVERAL_FILES: 1, UNLABELLED: 3}


def test_label_maps_of_pascal_are_no_images(source: Path, reader: Reader) -> None:
    pascal(source, "a")
    paint(source / "SegmentationClass/a.png", (20, 10))
    content = reader.content("voc")
    assert list(reader.boxes_in(content)) == ["JPEGImages/a.png"]
    assert counts(content) == {}


def test_classes_are_sorted_and_difficult_objects_marked(source: Path, reader: Reader) -> None:
    for name, label in {"a": "dog", "b": " cat"}.items():
        paint(source / f"{name}.png", (20, 10))
        write(source / f"{name}.xml", label, more="<difficult>1</difficult>")
    content = reader.content("voc")
    assert content.reading.class_names == ["cat", "dog"]
    assert [record.difficult.tolist() for record in content.records if len(record)] == [[True]] * 2


def test_broken_files_are_counted(source: Path, reader: Reader) -> None:
    pascal(source, "ab")
    (source / "Annotations/b.xml").write_text("<annotation><object>")
    content = reader.content("voc")
    assert list(reader.boxes_in(content)) == ["JPEGImages/a.png"]
    assert sum(content.reading.problems.with_effect(Effect.BROKEN).values()) == 1
