"""A prepared folder, read as a task reads it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.engine.structures.record import ImageRecord
from app.exchange.prepare.request import PrepareRequest
from app.exchange.prepare.run import Outcome, prepare
from app.exchange.sources import SOURCES, Content, Place, Request
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


Found = dict[str, list[tuple[str, list[float]]]]


@dataclass(frozen=True)
class Reader:
    """Reads a source by one layout.

    source, scratch  its folder, and one for images that annotation files contain
    """

    source: Path
    scratch: Path

    def content(self, layout: str, source: Path | None = None, **options: Any) -> Content:
        """What the source holds."""
        place = Place.of(source or self.source, options.pop("images", None))
        return SOURCES[layout].read(Request(place, self.scratch, **options))

    def boxes(self, layout: str, source: Path | None = None, **options: Any) -> Found:
        """The class and the box, rounded, of each object, by the path of the image."""
        return self.boxes_in(self.content(layout, source, **options))

    def boxes_in(self, content: Content) -> Found:
        """The same of what was read."""
        names = content.reading.class_names
        found: Found = {}
        for record in content.records:
            boxes = record.boxes.round(3).tolist()
            classes = [names[k] for k in record.classes.tolist()]
            found[self.name(record.path)] = list(zip(classes, boxes, strict=True))
        return found

    def splits_in(self, content: Content) -> dict[str, str]:
        """The set of each image, by its path."""
        return {self.name(path): split for path, split in content.splits.items()}

    def name(self, path: Path) -> str:
        """A path from the source's folder on."""
        root = self.source if path.is_relative_to(self.source) else self.scratch
        return str(path.relative_to(root))


@pytest.fixture
def reader(tmp_path: Path, source: Path) -> Reader:
    """Reads the source."""
    (tmp_path / "scratch").mkdir()
    return Reader(source, tmp_path / "scratch")


def counts(content: Content) -> dict[str, int]:
    """The number of each problem."""
    return dict(content.reading.problems.counts)
