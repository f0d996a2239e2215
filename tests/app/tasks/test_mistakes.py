"""Mistakes of users are reported before training starts, with the place and a remedy.

Wrong settings are in `tests/app/test_settings_check.py` and `tests/executor`; here are mistakes in
index files and annotations, and those that a training is begun with, from /in to the log.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.engine.errors import EngineError
from app.settings_check import check_settings
from app.tasks.__main__ import run_tasks
from executor.errors import ExecutorError
from executor.task_words import Task

Change = Callable[[Any], None]
"""Makes the mistake in a tree of six training and two validation images with ark files."""


def _rewrite(change: Callable[[str], str]) -> Change:
    """Change every line of the training index."""

    def make(tree: Any) -> None:
        lines = (tree.root / "in/train-index.tsv").read_text().splitlines()
        tree.write_index("train-index.tsv", [change(line) for line in lines])

    return make


def _relabel(change: Callable[[list[str]], list[str]]) -> Change:
    """Change the columns of every ark line."""

    def make(tree: Any) -> None:
        for path in (tree.root / "in/annotations").glob("*.txt"):
            rows = [line.split(",") for line in path.read_text().splitlines()]
            path.write_text("".join(",".join(change(row)) + "\n" for row in rows))

    return make


def _yolo(tree: Any) -> None:
    _relabel(lambda row: [row[0]])(tree)
    for path in (tree.root / "in/annotations").glob("*.txt"):
        path.write_text(path.read_text().replace("\n", " 0.5 0.5 0.25 0.5\n"))


def _xywh(row: list[str]) -> list[str]:
    x0, y0, x1, y1 = map(int, row[1:5])
    return [row[0], str(x0), str(y0), str(x1 - x0 + 1), str(y1 - y0 + 1)]


def _without_images(tree: Any) -> None:
    for number in range(3):
        (tree.root / f"in/assets/{number}.png").unlink()


def _same_sets(tree: Any) -> None:
    shutil.copy(tree.root / "in/train-index.tsv", tree.root / "in/val-index.tsv")


def _nothing(tree: Any) -> None:
    """The mistake lies in the settings."""


REFUSED = [
    pytest.param(lambda t: t.write_index("train-index.tsv", []), {}, "is empty", id="empty index"),
    pytest.param(
        lambda t: (t.root / "in/train-index.tsv").unlink(),
        {},
        "train-index.tsv",
        id="index missing",
    ),
    pytest.param(
        _rewrite(lambda line: "\t".join(reversed(line.split("\t")))),
        {},
        "columns are swapped",
        id="columns are swapped",
    ),
    pytest.param(
        _rewrite(lambda line: line.replace("/in/", "/not/here/")),
        {},
        "/not/here",
        id="paths that are not in the container",
    ),
    pytest.param(_relabel(_xywh), {}, "smell xywh-boxes", id="ark boxes as x y width height"),
    pytest.param(
        _relabel(lambda row: [str(int(row[0]) + 1), *row[1:]]),
        {},
        "smell class-numbers-from-1",
        id="ark classes from 1",
    ),
    pytest.param(_without_images, {}, "3 of 6 images", id="3 of 6 images missing"),
]

TOLD = [
    pytest.param(_rewrite(lambda s: s.replace("\t", " ")), {}, "TAB", id="blanks for TABs"),
    pytest.param(
        _nothing,
        {"class_names": ["Red Box", "BLUE BOX"]},
        "Red Box",
        id="class names in other case",
    ),
    pytest.param(
        _same_sets,
        {},
        "6 of 6 validation images are training images",
        id="validation equals training",
    ),
    pytest.param(
        _nothing,
        {"export_format": "voc:raw"},
        "export_format is voc:raw",
        id="voc stated, ark given",
    ),
    pytest.param(_yolo, {"export_format": ""}, "YOLO", id="YOLO labels, no format stated"),
    pytest.param(_yolo, {"export_format": "ark:raw"}, "YOLO", id="YOLO labels stated as ark"),
    pytest.param(_nothing, {"learning_rate": 10}, "learning_rate", id="learning rate of 10"),
    pytest.param(_nothing, {"batch_size": 64}, "batch_size", id="batch larger than the data set"),
]


@pytest.mark.parametrize(("change", "settings", "told"), REFUSED)
def test_is_refused_before_training(
    change: Change, settings: dict[str, Any], told: str, tree: Any, train_settings: dict[str, Any]
) -> None:
    tree.write_env(run_training=True)
    tree.write_config(**(train_settings | {"export_format": "ark:raw"} | settings))
    change(tree)
    with pytest.raises((ExecutorError, EngineError), match=told):
        run_tasks(tree.env, lambda fraction: None)
    assert not list((tree.out / "models").iterdir())


@pytest.mark.parametrize(("change", "settings", "told"), TOLD)
def test_is_told_before_training(
    change: Change,
    settings: dict[str, Any],
    told: str,
    tree: Any,
    train_settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    tree.write_env(run_training=True)
    one_step = train_settings | {"export_format": "ark:raw", "max_iter": 1}
    tree.write_config(**(one_step | settings))
    change(tree)
    remarks = check_settings(tree.env, [Task.TRAINING])
    run_tasks(tree.env, lambda fraction: None)
    texts = [*remarks, *(record.getMessage() for record in caplog.records)]
    begin = next(i for i, text in enumerate(texts) if "Starting training" in text)
    assert any(told in text for text in texts[:begin]), "\n".join(texts)


def test_all_of_this_is_sound_without_a_mistake(
    tree: Any, train_settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tree.write_env(run_training=True)
    tree.write_config(**train_settings, export_format="ark:raw")
    run_tasks(tree.env, lambda fraction: None)
    assert not [text for text in caplog.messages if "smell" in text or "set:" in text]
    assert Path(tree.out / "models/result.yaml").is_file()
