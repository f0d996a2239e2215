"""What holds for every layout: the same data set, and what is not recognised."""

from pathlib import Path

import numpy as np
import pytest

from app.engine.errors import DatasetError
from app.exchange.sources import SOURCES, Place, recognised
from app.exchange.sources._splits import splits_of_folders
from executor.hyperparameters import TrainHyperparameters, load_hyperparameters
from tests.app.exchange import scenes
from tests.app.exchange.conftest import Prepare, ReadBack

every_layout = pytest.mark.parametrize("layout", scenes.LAYOUTS)


def test_every_source_has_a_scene() -> None:
    assert set(scenes.LAYOUTS) == {n for n, each in SOURCES.items() if each.is_labelled}


@every_layout
def test_a_task_reads_the_boxes_of_the_source(
    layout: str, source: Path, tmp_path: Path, prepared: Prepare, read_back: ReadBack
) -> None:
    scenes.LAYOUTS[layout](source)
    outcome = prepared()
    assert outcome.account["source"] == layout
    settings = load_hyperparameters(tmp_path / "in/config.yaml", TrainHyperparameters)
    assert sorted(settings.class_names) == ["cat", "dog"]
    records = read_back()
    assert sorted(records) == ["a.png", "b.png", "c.png"]
    for name, expected in scenes.BOXES.items():
        record = records[f"{name}.png"]
        found = [settings.class_names[k] for k in record.classes.tolist()]
        assert found == [label for label, _ in expected]
        boxes = [box for _, box in expected]
        np.testing.assert_allclose(record.boxes, np.reshape(boxes, (-1, 4)), atol=1e-3)
        assert record.size == scenes.SIZES[name][::-1]
    if layout != "voc":  # it has boxes only
        masks = records["a.png"].segmentations
        assert masks is not None
        assert masks[0] is None
        np.testing.assert_allclose(masks[1], [scenes.TRIANGLE], atol=1e-3)


@every_layout
def test_the_source_is_not_changed(layout: str, source: Path, prepared: Prepare) -> None:
    scenes.LAYOUTS[layout](source)
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    prepared()
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before


@every_layout
def test_the_layout_is_recognised_by_its_content(layout: str, source: Path) -> None:
    scenes.LAYOUTS[layout](source)
    (source / "README.txt").write_text("about this data set")
    assert recognised(Place.of(source), option="--from")[0] == layout


def test_photographs_are_recognised_only_without_annotations(source: Path) -> None:
    scenes.images(source / "holiday")
    (source / "notes.txt").write_text("sunny")
    assert recognised(Place.of(source), option="--from")[0] == "photographs"
    for name in ("some.json", "labels/a.txt"):  # YOLO's labels without the names of classes
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("{}")
        with pytest.raises(DatasetError, match="layout is not known"):
            recognised(Place.of(source), option="--from")
        (source / name).unlink()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param({}, ["0 files", "COCO (.json", "VOC (.xml", "YOLO (data.yaml"], id="empty"),
        pytest.param({"a.json": "[1]"}, ["1 files", "--from NAME (coco, voc"], id="other JSON"),
        pytest.param({"a.xml": "<html/>"}, ["is not known"], id="other XML"),
        pytest.param({"a.json": "\xff\x00broken"}, ["is not known"], id="broken file"),
    ],
)
def test_what_is_not_recognised(source: Path, files: dict[str, str], words: list[str]) -> None:
    for name, text in files.items():
        (source / name).write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError) as error:
        recognised(Place.of(source), option="--from")
    assert [word for word in words if word not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_two_layouts_are_refused_unless_one_is_chosen(source: Path, prepared: Prepare) -> None:
    scenes.coco(source)
    scenes.cvat(source)
    with pytest.raises(DatasetError, match="--from coco or cvat"):
        prepared()
    assert prepared(layout="coco").account["source"] == "coco"


def test_a_place_without_hidden_files_and_earlier_results(source: Path, tmp_path: Path) -> None:
    scenes.images(source)
    scenes.images(source / ".trash")
    scenes.images(source / "__MACOSX")
    scenes.images(source / "made")
    (source / "made/prepared.json").write_text("{}")
    scenes.images(tmp_path / "elsewhere")
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    (source / "linked/again").symlink_to(source)
    names = [str(path.relative_to(source)) for path in Place.of(source).images]
    assert names == ["a.png", "b.png", "c.png", "linked/a.png", "linked/b.png", "linked/c.png"]


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such file or folder"):
        Place.of(tmp_path / "nothing")


def test_sets_are_named_by_folders_below_the_source_only(tmp_path: Path) -> None:
    """Here the folders above are called `test`, and the images lie elsewhere."""
    scenes.images(tmp_path / "test/photos/train")
    scenes.paint(tmp_path / "test/photos/more/d.png", (20, 10))
    (tmp_path / "labels").mkdir()
    place = Place.of(tmp_path / "labels", tmp_path / "test/photos")
    assert splits_of_folders(place.images, place) == {}
    scenes.images(tmp_path / "test/photos/valid")
    place = Place.of(tmp_path / "labels", tmp_path / "test/photos")
    found = splits_of_folders(place.images, place)
    assert {path.parent.name: split for path, split in found.items()} == {
        "train": "train",
        "valid": "val",
    }
