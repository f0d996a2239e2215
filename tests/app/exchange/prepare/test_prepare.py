"""A whole call: the folder that it makes, what it tells, and what it refuses."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from app.engine.errors import CheckpointError, ConfigError, DatasetError
from app.exchange.prepare import run
from app.exchange.prepare.classes import ALIKE, NOT_CHOSEN, UNUSED
from app.exchange.prepare.first_config import MASK_CONFIG
from app.settings_check import check_settings
from executor.env import Task, load_env
from executor.hyperparameters import TrainHyperparameters, load_hyperparameters
from tests.app.exchange import scenes
from tests.app.exchange.conftest import Prepare, ReadBack
from tests.app.exchange.sources.test_coco_source import write


def test_the_folder(source: Path, tmp_path: Path, prepared: Prepare) -> None:
    scenes.coco(source)
    prepared()
    folder = tmp_path / "in"
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == [
        "annotations/train.json",
        "annotations/val.json",
        *(f"assets/photos/{name}.png" for name in "abc"),
        *("config.yaml", "env.yaml", "prepared.json", "train-index.tsv", "val-index.tsv"),
    ]
    lines = [*(folder / "train-index.tsv").read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        image, annotation = line.split("\t")
        assert (folder / image.removeprefix("/in/")).is_file()
        assert annotation == "/in/annotations/train.json"
    assert load_env(folder / "env.yaml").tasks == (Task.TRAINING,)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_images_elsewhere(source: Path, tmp_path: Path, prepared: Prepare) -> None:
    scenes.coco(source)
    (source / "photos").rename(tmp_path / "photos")
    scenes.images(source / "others")
    told: list[str] = []
    request = {"source": source / "annotations/instances.json", "images": tmp_path / "photos"}
    run.prepare(run.PrepareRequest(out=tmp_path / "in", **request), say=told.append)
    assets = sorted(path.name for path in (tmp_path / "in/assets").iterdir())
    assert assets == ["a.png", "b.png", "c.png"]
    assert [text.split()[0] for text in told] == ["reading", "looking", "writing"]


def test_images_are_linked_and_never_links_to_other_folders(
    source: Path, tmp_path: Path, prepared: Prepare
) -> None:
    scenes.yolo(source)
    (tmp_path / "elsewhere.png").write_bytes((source / "images/a.png").read_bytes())
    (source / "images/a.png").unlink()
    (source / "images/a.png").symlink_to(tmp_path / "elsewhere.png")
    prepared()
    made = tmp_path / "in/assets/images/a.png"
    assert not made.is_symlink()
    assert made.samefile(tmp_path / "elsewhere.png")


def test_images_are_copied_where_links_are_impossible(
    source: Path, tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    scenes.coco(source)
    monkeypatch.setattr(os, "link", refuse)
    outcome = prepared()
    assert "3 images were copied, since they could not be linked" in outcome.lines
    made = tmp_path / "in/assets/photos/a.png"
    assert made.read_bytes() == (source / "photos/a.png").read_bytes()
    assert not made.samefile(source / "photos/a.png")


def test_the_order_of_files_does_not_matter(
    source: Path, tmp_path: Path, prepared: Prepare
) -> None:
    scenes.voc(source)
    prepared(out=tmp_path / "one")
    again = tmp_path / "again"
    again.mkdir()
    for name in sorted((p for p in source.rglob("*.*")), reverse=True):
        (again / name.relative_to(source)).parent.mkdir(exist_ok=True)
        shutil.copy2(name, again / name.relative_to(source))
    prepared(source=again, out=tmp_path / "two")
    for name in ("train-index.tsv", "val-index.tsv", "annotations/train.json", "config.yaml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_names_that_an_index_cannot_have(
    source: Path, prepared: Prepare, read_back: ReadBack
) -> None:
    names = ["tab\there.png", "line\nend.png", " blanks .png", "tab_here.png", "Grün \u00e9.png"]
    for seed, name in enumerate(names):
        scenes.paint(source / name, (20, 10), seed)
    write(source / "a.json", {name: [(1, i, 0, 5, 5)] for i, name in enumerate(names)})
    prepared()
    records = read_back()
    assert sorted(records) == [
        *("Grün \u00e9.png", "blanks .png", "line_end.png", "tab_here.png", "tab_here_.png")
    ]
    lefts = sorted(float(record.boxes[0, 0]) for record in records.values())
    assert lefts == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("wanted", "names", "problems"),
    [
        pytest.param((), ["cat", "dog"], {UNUSED: 1}, id="those with objects, in the file's order"),
        pytest.param(("dog", "cat"), ["dog", "cat"], {}, id="chosen, in another order"),
        pytest.param(("dog",), ["dog"], {NOT_CHOSEN: 2}, id="one"),
        pytest.param(
            ("DOG", "cow"),
            ["DOG", "cow"],
            {NOT_CHOSEN: 2, run.NOT_LEARNT: 1},
            id="another case, and unused",
        ),
    ],
)
def test_classes(
    source: Path,
    tmp_path: Path,
    prepared: Prepare,
    read_back: ReadBack,
    wanted: tuple[str, ...],
    names: list[str],
    problems: dict[str, int],
) -> None:
    scenes.paint(source / "1.png", (20, 10))
    objects = [(1, 0, 0, 5, 5), (2, 1, 0, 5, 5), (1, 2, 0, 5, 5)]
    categories = [{"id": i, "name": n} for i, n in enumerate(("cow", "cat", "dog"))]
    write(source / "a.json", {"1.png": objects}, categories)
    outcome = prepared(class_names=wanted)
    assert outcome.account["classes"] == names
    told = {row["what"]: row["number"] for row in outcome.account["problems"]}
    assert told == problems
    settings = load_hyperparameters(tmp_path / "in/config.yaml", TrainHyperparameters)
    assert list(settings.class_names) == names
    record = read_back()["1.png"]
    assert len(record) == 3 - problems.get(NOT_CHOSEN, 0)


def test_classes_that_only_the_validation_has_are_told(source: Path, prepared: Prepare) -> None:
    for split, class_id in {"train": 1, "val": 2}.items():
        scenes.paint(source / split / f"{split}.png", (20, 10), class_id)
        write(source / f"{split}.json", {f"{split}.png": [(class_id, 0, 0, 5, 5)]})
    (row,) = prepared().account["problems"]
    assert (row["what"], row["examples"]) == (run.NOT_LEARNT, ["dog"])


def test_names_that_differ_in_case_are_two_classes(source: Path, prepared: Prepare) -> None:
    scenes.paint(source / "1.png", (20, 10))
    categories = [{"id": 1, "name": "Cat"}, {"id": 2, "name": "cat"}]
    write(source / "a.json", {"1.png": [(1, 0, 0, 5, 5), (2, 1, 0, 5, 5)]}, categories)
    outcome = prepared()
    assert outcome.account["classes"] == ["Cat", "cat"]
    assert [row["what"] for row in outcome.account["problems"]] == [ALIKE]


AWKWARD = ["no", "1e3", "12:30", "a: b", "# c", "{d}", "é", '"quoted"', "Hund, groß", "null", "~x"]


def test_names_of_classes_survive_yaml(
    source: Path, tmp_path: Path, prepared: Prepare, read_back: ReadBack
) -> None:
    names = [*AWKWARD, *(f"class number {i}" for i in range(60))]
    scenes.paint(source / "1.png", (200, 100))
    boxes = [(i, i, 0, 5, 90) for i in range(len(names))]
    categories = [{"id": i, "name": n} for i, n in enumerate(names)]
    write(source / "a.json", {"1.png": boxes}, categories)
    content = json.loads((source / "a.json").read_text())
    content["images"][0] |= {"width": 200, "height": 100}
    (source / "a.json").write_text(json.dumps(content))
    prepared()
    settings = load_hyperparameters(tmp_path / "in/config.yaml", TrainHyperparameters)
    assert list(settings.class_names) == names
    assert max(map(len, (tmp_path / "in/config.yaml").read_text().splitlines())) <= 100
    assert read_back()["1.png"].classes.tolist() == list(range(len(names)))


def test_marks_of_objects_survive(source: Path, prepared: Prepare, read_back: ReadBack) -> None:
    scenes.voc(source)
    file = source / "Annotations/c.xml"
    file.write_text(file.read_text().replace("<bndbox>", "<difficult>1</difficult><bndbox>"))
    prepared()
    records = read_back()
    assert records["c.png"].difficult is not None
    assert records["c.png"].difficult.tolist() == [True]
    assert records["a.png"].difficult is not None
    assert records["a.png"].difficult.tolist() == [False, False]


def test_the_account(source: Path, tmp_path: Path, prepared: Prepare) -> None:
    scenes.coco(source)
    scenes.paint(source / "photos/d.png", (20, 10))
    outcome = prepared(val=0.4)
    assert json.loads((tmp_path / "in/prepared.json").read_text()) == outcome.account
    account = outcome.account
    assert account["images"] == {"listed": 4, "usable": 3}
    sets = account["sets"]
    assert sum(each["images"] for each in sets.values()) == 3
    assert sum(each["objects"] for each in sets.values()) == 3
    assert sum(each["objects_with_masks"] for each in sets.values()) == 1
    assert sum(each["images_without_objects"] for each in sets.values()) == 1
    assert sum(each["objects_of_each_class"]["cat"] for each in sets.values()) == 2
    row, not_learnt = account["problems"]
    assert not_learnt["what"] == run.NOT_LEARNT
    assert (row["number"], row["effect"], row["examples"]) == (1, "left_out", ["photos/d.png"])
    text = "\n".join(outcome.lines)
    assert "images left out: image without an annotation (left out)  1" in text
    assert "at random, 40% for validation (--seed 0)" in text


def test_the_first_config_starts_a_task(
    source: Path, tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.coco(source)
    prepared(val=0)
    monkeypatch.setenv("EXECUTOR_IN", str(tmp_path / "in"))
    env = load_env(tmp_path / "in/env.yaml")
    check_settings(env, env.require_tasks())
    text = (tmp_path / "in/config.yaml").read_text()
    assert " 24 in the" in text, "the shorter side in the median"
    assert yaml.safe_load(text)["batch_size"] == 3
    assert MASK_CONFIG in text


def test_the_config_for_masks_starts_a_task(
    source: Path, tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.yolo(source)
    prepared(val=0, config_file=MASK_CONFIG)
    config = tmp_path / "in/config.yaml"
    (remedy,) = {line for line in config.read_text().split("`") if line.startswith("object_type")}
    config.write_text(f"{config.read_text()}\n{remedy}\n")
    monkeypatch.setenv("EXECUTOR_IN", str(tmp_path / "in"))
    env = load_env(tmp_path / "in/env.yaml")
    check_settings(env, env.require_tasks())
    assert not (tmp_path / "in/val-index.tsv").exists()


def test_photographs(source: Path, tmp_path: Path, prepared: Prepare) -> None:
    scenes.images(source / "day 1")
    (source / "broken.jpg").write_text("no picture")
    model = tmp_path / "out/models/best"
    model.mkdir(parents=True)
    (model / "model.pth").write_bytes(b"weights")
    outcome = prepared(model=tmp_path / "out")
    folder = tmp_path / "in"
    index = (folder / "candidate-index.tsv").read_text().splitlines()
    assert index == [f"/in/assets/day 1/{name}.png" for name in "abc"]
    assert (folder / "models/best/model.pth").read_bytes() == b"weights"
    assert not outcome.is_labelled
    assert outcome.account["images"] == {"listed": 4, "usable": 3}
    assert not (folder / "env.yaml").exists()
    for task in (Task.MINING, Task.INFER):
        assert load_env(folder / f"env-{task.value}.yaml").tasks == (task,)


# --- What is refused ---


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_earlier_result_is_replaced_only_when_asked_for(
    source: Path, tmp_path: Path, prepared: Prepare
) -> None:
    scenes.coco(source)
    prepared()
    first = _files(tmp_path / "in")
    with pytest.raises(ConfigError, match="add --force"):
        prepared()
    prepared(replace=True, seed=3, val=0.5)
    assert _files(tmp_path / "in") != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "source"]


@pytest.mark.parametrize("replace", [True, False])
def test_folders_of_others_are_not_replaced(
    source: Path, tmp_path: Path, prepared: Prepare, replace: bool
) -> None:
    scenes.coco(source)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="was not made by prepare"):
        prepared(replace=replace)
    assert _files(tmp_path / "in") == {"mine.txt": b"keep"}


def test_a_folder_in_the_source_is_no_part_of_it(source: Path, prepared: Prepare) -> None:
    scenes.coco(source)
    prepared(out=source / "in")
    assert prepared(out=source / "in2").account["images"]["listed"] == 3
    with pytest.raises(ConfigError, match="is the source or a folder around it"):
        prepared(out=source.parent)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        pytest.param({"layout": "cocoo"}, ConfigError, "did you mean coco", id="layout"),
        pytest.param({"val": 1.0}, ConfigError, "--val 1", id="share"),
        pytest.param({"accepted_smells": ("x",)}, ConfigError, "'x' is no smell", id="smell"),
        pytest.param({"class_names": ("cow",)}, DatasetError, "no class is called cow", id="class"),
        pytest.param({"model": Path("nowhere")}, CheckpointError, "is no folder", id="model"),
        pytest.param({"source": Path("nowhere")}, DatasetError, "no such file", id="source"),
        pytest.param({"layout": "voc"}, DatasetError, "no image can be used", id="wrong layout"),
        pytest.param({"layout": "voc"}, DatasetError, "folder with --images", id="no images"),
        pytest.param({"rule": "source"}, DatasetError, "does not say", id="no sets"),
    ],
)
def test_wrong_requests_leave_nothing(
    source: Path,
    tmp_path: Path,
    prepared: Prepare,
    options: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    scenes.coco(source)
    with pytest.raises(error, match=words):
        prepared(**options)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError, DatasetError])
def test_an_interrupted_call_leaves_the_earlier_result(
    source: Path,
    tmp_path: Path,
    prepared: Prepare,
    monkeypatch: pytest.MonkeyPatch,
    end: type[BaseException],
) -> None:
    def fail(*_: object) -> None:
        raise end("now")

    scenes.coco(source)
    prepared()
    first = _files(tmp_path / "in")
    monkeypatch.setattr(run, "write_account", fail)
    with pytest.raises(end):
        prepared(replace=True)
    assert _files(tmp_path / "in") == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "source"]


def test_the_current_folder(
    source: Path, tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.coco(source)
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    prepared(out=Path())
    assert (tmp_path / "in/config.yaml").is_file()


def test_what_a_killed_call_left_is_removed(
    source: Path, tmp_path: Path, prepared: Prepare
) -> None:
    scenes.coco(source)
    (tmp_path / ".in.part/assets").mkdir(parents=True)
    prepared()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "source"]


def test_smells_of_the_source_stop_it(source: Path, tmp_path: Path, prepared: Prepare) -> None:
    """The written file has boxes inside the images, so a task could not find them any more."""
    for number in range(4):
        scenes.paint(source / f"{number}.png", (20, 10), number)
    corners = [(1, 8, 4, 18, 9), (2, 10, 5, 19, 10)]
    write(source / "a.json", {f"{n}.png": corners for n in range(4)})
    with pytest.raises(DatasetError, match="set --accepted-smells: xyxy-boxes") as error:
        prepared()
    assert "8 of 8" in str(error.value)
    accepted = ("xyxy-boxes", "boxes-outside", "centred-boxes")
    prepared(accepted_smells=accepted)
    settings = load_hyperparameters(tmp_path / "in/config.yaml", TrainHyperparameters)
    assert settings.smells == accepted


def test_copies_do_not_lie_on_both_sides(source: Path, prepared: Prepare) -> None:
    for number in range(10):
        scenes.paint(source / f"{number}.png", (64, 48), number // 2, quality=90)
        if number % 2:
            (source / f"{number}.png").rename(source / f"{number}.jpg")
            scenes.paint(source / f"{number}.jpg", (64, 48), number // 2)
    names = sorted(p.name for p in source.iterdir())
    write(source / "a.json", {name: [(1, 0, 0, 5, 5)] for name in names})
    content = json.loads((source / "a.json").read_text())
    for entry in content["images"]:
        entry |= {"width": 64, "height": 48}
    (source / "a.json").write_text(json.dumps(content))
    outcome = prepared(val=0.4)
    told = {row["what"]: row["number"] for row in outcome.account["problems"]}
    assert told == {run.COPY: 5, UNUSED: 1}
    assert outcome.account["sets"]["val"]["images"] == 4


def test_boxes_are_exact(source: Path, prepared: Prepare, read_back: ReadBack) -> None:
    scenes.paint(source / "1.png", (20, 10))
    boxes = [(0.123, 0.457, 5.251, 6.003), (0, 0, 20, 10), (3.5, 2.25, 1.125, 7.75)]
    write(source / "a.json", {"1.png": [(1, *box) for box in boxes]})
    prepared()
    expected = [[x, y, x + w, y + h] for x, y, w, h in boxes]
    np.testing.assert_allclose(read_back()["1.png"].boxes, expected, atol=1e-3)
