"""YOLO: what data.yaml may say about names and folders, and where label files lie."""

from pathlib import Path

import pytest

from app.engine.errors import DatasetError
from app.exchange.sources._pairing import NO_IMAGE
from app.exchange.sources._source import SEVERAL_SETS
from app.exchange.sources._yolo_yaml import MOVED, NOT_THERE
from app.exchange.sources.yolo import NO_LABELS, UNLISTED
from tests.app.exchange.conftest import Reader, counts
from tests.app.exchange.scenes import paint

LINE = "1 0.5 0.5 0.5 0.4\n"
READ = [("dog", [5, 3, 15, 7])]  # of 20 x 10
NAMES = "names: [cat, dog]\n"


def image(path: Path, text: str | None = LINE) -> None:
    """Write an image of 20 x 10 and its label file."""
    paint(path, (20, 10), len(str(path)))
    if text is not None:
        label = Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("names: [cat, dog]", ["cat", "dog"], id="list"),
        pytest.param("names:\n- cat\n- ' dog'\nnc: 2", ["cat", "dog"], id="lines and blanks"),
        pytest.param("names: {1: dog, 0: cat}", ["cat", "dog"], id="mapping"),
        pytest.param("names: {1: dog, 3: no}", ["class 0", "dog", "class 2", "no"], id="gaps"),
    ],
)
def test_names(source: Path, reader: Reader, text: str, names: list[str]) -> None:
    image(source / "images/a.png")
    (source / "data.yaml").write_text(f"train: images\n{text}\n")
    content = reader.content("yolo")
    assert content.reading.class_names == names
    assert reader.boxes_in(content) == {"images/a.png": READ}


@pytest.mark.parametrize(
    ("text", "splits", "problems"),
    [
        pytest.param("train: images/t\nval: images/v", "tv", {}, id="folders"),
        pytest.param("path: .\ntrain: [images/t, images/v]", "tt", {}, id="list of folders"),
        pytest.param("train: images/t/\nvalid: images/v", "tv", {}, id="valid for val"),
        pytest.param("train: ../images/t\nval: ../images/v", "tv", {MOVED: 2}, id="../ (Roboflow)"),
        pytest.param(
            "path: ../datasets/set\ntrain: images/t\nval: images/v", "tv", {MOVED: 1}, id="no path"
        ),
        pytest.param(
            "train: /home/me/set/images/t\nval: C:\\set\\images\\v", "tv", {MOVED: 2}, id="moved"
        ),
        pytest.param("path: images\ntrain: t\nval: v", "tv", {}, id="path and folders in it"),
        pytest.param("train: images\nval: images", "tt", {SEVERAL_SETS: 2}, id="val is train"),
        pytest.param("train: images/t\nval:", "t-", {UNLISTED: 1}, id="no val"),
        pytest.param(
            "train: train.txt\nval: images/v", "tv", {NOT_THERE: 1}, id="a list of images"
        ),
        pytest.param("train: images/t/a.png\nval: images/v", "tv", {}, id="an image"),
    ],
)
def test_where_images_are(
    source: Path, reader: Reader, text: str, splits: str, problems: dict[str, int]
) -> None:
    image(source / "images/t/a.png")
    image(source / "images/v/b.png")
    (source / "train.txt").write_text("./images/t/a.png\n\nimages/t/lost.png\n")
    (source / "data.yaml").write_text(f"{text}\n{NAMES}")
    content = reader.content("yolo")
    words = {"t": "train", "v": "val"}
    expected = {"images/t/a.png": words.get(splits[0]), "images/v/b.png": words.get(splits[1])}
    assert reader.splits_in(content) == {k: v for k, v in expected.items() if v}
    assert counts(content) == problems
    assert set(reader.boxes_in(content)) == {k for k, v in expected.items() if v}


def test_label_files_beside_images_and_in_folders_called_images_twice(
    source: Path, reader: Reader
) -> None:
    image(source / "images/images/a.png", None)
    (source / "images/labels").mkdir()
    (source / "images/labels/a.txt").write_text(LINE)
    image(source / "mixed/b.png")
    (source / "data.yaml").write_text(f"train: [images, mixed]\n{NAMES}")
    assert reader.boxes("yolo") == {"images/images/a.png": READ, "mixed/b.png": READ}


def test_a_list_of_names_in_place_of_data_yaml(source: Path, reader: Reader) -> None:
    """As Label Studio and labelImg export."""
    image(source / "images/a.png")
    (source / "labels/lost.txt").write_text(LINE)
    (source / "classes.txt").write_text("cat\ndog\n\n")
    content = reader.content("yolo")
    assert reader.boxes_in(content) == {"images/a.png": READ}
    assert counts(content) == {NO_IMAGE: 1}


def test_a_data_yaml_with_names_alone(source: Path, reader: Reader) -> None:
    image(source / "train/images/a.png")
    image(source / "valid/images/b.png")
    (source / "data.yaml").write_text(NAMES)
    (source / "classes.txt").write_text("cat\ndog\n")
    content = reader.content("yolo")
    assert reader.boxes_in(content) == {"train/images/a.png": READ, "valid/images/b.png": READ}
    assert reader.splits_in(content) == {
        "train/images/a.png": "train",
        "valid/images/b.png": "val",
    }


def test_images_without_label_files_have_no_objects(source: Path, reader: Reader) -> None:
    image(source / "images/a.png")
    image(source / "images/b.png", "")
    image(source / "images/c.png", None)
    (source / "data.yaml").write_text(f"train: images\n{NAMES}")
    content = reader.content("yolo")
    boxes = {"images/a.png": READ, "images/b.png": [], "images/c.png": []}
    assert reader.boxes_in(content) == boxes
    assert counts(content) == {NO_LABELS: 1}


def test_data_yaml_as_the_source(source: Path, reader: Reader) -> None:
    image(source / "images/a.png")
    for name in ("one", "two"):
        (source / f"{name}.yaml").write_text(f"train: images\n{NAMES}")
    assert reader.boxes("yolo", source / "one.yaml") == {"images/a.png": READ}
    with pytest.raises(DatasetError, match=r"one.yaml and two.yaml; give the one"):
        reader.content("yolo")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(f"train: nowhere\n{NAMES}", "train: nowhere is not there", id="no folder"),
        pytest.param(f"train: {'x' * 300}\n{NAMES}", "xxx is not there", id="no name of a file"),
        pytest.param(f"train: empty\n{NAMES}", "hold no image", id="no image"),
        pytest.param(f"train: bare\n{NAMES}", "none of 1 images has a label file", id="no labels"),
        pytest.param("train: images\nnames: 2", "names is no list", id="no names"),
        pytest.param("train: images\nnames: [[a]]", "names is no list", id="nested names"),
        pytest.param("train: {a: b}\nnames: [a]", "train is no path", id="train is a mapping"),
        pytest.param("train: [images\nnames: [a]", "not valid YAML", id="no YAML"),
    ],
)
def test_what_is_refused(source: Path, reader: Reader, text: str, words: str) -> None:
    image(source / "images/a.png")
    image(source / "bare/b.png", None)
    (source / "empty").mkdir()
    (source / "data.yaml").write_text(text)
    with pytest.raises(DatasetError, match=words) as error:
        reader.content("yolo")
    assert "data.yaml" in str(error.value) or "should be" in str(error.value)


def test_labels_without_names_are_refused(source: Path, reader: Reader) -> None:
    image(source / "images/a.png")
    with pytest.raises(DatasetError, match=r"no data.yaml with names, and no classes.txt"):
        reader.content("yolo")
