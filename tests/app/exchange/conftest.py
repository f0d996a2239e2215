"""A prepared folder, read as a task reads it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.engine.structures.record import ImageRecord
from app.exchange.prepare.request import PrepareRequest
from app.exchange.prepare.run import Outcome, prepare
from app.tasks.records import read_records
from executor.dataset_reader import read_training_index, read_val_index, require_files
from executor.hyperparameters import TrainHyperparameters, load_hyperparameters

Prepare = Callable[..., Outcome]
ReadBack = Callable[..., dict[str, ImageRecord]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An empty folder for a source."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def prepared(tmp_path: Path, source: Path) -> Prepare:
    """Prepares the source into the folder `in` beside it."""

    def run(**options: Any) -> Outcome:
        return prepare(PrepareRequest(**{"source": source, "out": tmp_path / "in", **options}))

    return run


@pytest.fixture
def read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> ReadBack:
    """The records of both sets by the names of their images, as a training reads them."""

    def read(*, warnings: bool = False) -> dict[str, ImageRecord]:
        monkeypatch.setenv("EXECUTOR_IN", str(tmp_path / "in"))
        folder = tmp_path / "in"
        settings = load_hyperparameters(folder / "config.yaml", TrainHyperparameters)
        found: dict[str, ImageRecord] = {}
        caplog.clear()
        with caplog.at_level(logging.INFO):
            training = read_training_index(folder / "train-index.tsv")
            require_files(folder / "train-index.tsv", training)
            sets = {"training": training}
            if (folder / "val-index.tsv").exists():
                sets["validation"] = read_val_index(folder / "val-index.tsv")
            for name, assets in sets.items():
                records = read_records(
                    assets, settings.export_format, settings.class_names, name=name
                )
                found |= {record.path.name: record for record in records}
        told = [r.getMessage() for r in caplog.records if r.levelno > logging.INFO]
        assert warnings or told == []
        return found

    return read
