"""The account of a data set: counts with their reasons, and when a set is refused."""

import logging
from pathlib import Path

import numpy as np
import pytest

from app.engine.data.datasets.account import missing_classes, settle, table
from app.engine.data.formats import Reading
from app.engine.data.problems import Effect
from app.engine.errors import DatasetError
from app.engine.structures.record import ImageRecord


def _record(classes: list[int], crowd: list[bool] | None = None) -> ImageRecord:
    return ImageRecord(
        path=Path("a.png"),
        height=10,
        width=10,
        boxes=np.zeros((len(classes), 4), np.float32),
        classes=np.array(classes, np.int64),
        image_id=0,
        crowd=None if crowd is None else np.array(crowd, np.bool_),
    )


def test_every_loss_has_a_number_and_a_reason() -> None:
    reading = Reading(["cat", "dog", "cow"])
    reading.problems.add("file is damaged", "b.png", Effect.BROKEN)
    reading.problems.add("box without area", "a.png", Effect.DROPPED)
    reading.problems.add("box without area", "a.png", Effect.DROPPED)
    reading.problems.add("box partly outside", "a.png", Effect.CHANGED)
    lines = table(4, [_record([0, 1, 1], [False, False, True]), _record([])], reading)
    text = "\n".join(lines)
    for label, number in {
        "images listed": 4,
        "images left out: file is damaged": 1,
        "images usable": 2,
        "images usable, without objects": 1,
        "objects in the files": 5,
        "objects dropped: box without area": 2,
        "objects kept": 3,
        "objects kept that are crowds, not learnt from": 1,
    }.items():
        assert any(
            line.split("  ")[0] == label and line.endswith(f" {number}") for line in lines
        ), (
            label,
            text,
        )
    assert lines[-1].endswith("cow")
    assert "partly" not in text


def test_a_class_with_crowds_alone_has_no_objects() -> None:
    assert missing_classes([_record([0, 1], [False, True])], ["cat", "dog"]) == ["dog"]
    assert missing_classes([], ["cat"]) == ["cat"]


@pytest.mark.parametrize(
    ("num_broken", "num_listed", "is_refused"),
    [
        pytest.param(1, 2, False, id="one may be lost"),
        pytest.param(2, 39, True, id="more than 5 percent"),
        pytest.param(2, 40, False, id="5 percent"),
    ],
)
def test_broken_share(num_broken: int, num_listed: int, is_refused: bool) -> None:
    reading = Reading(["cat"])
    for number in range(num_broken):
        reading.problems.add("file is damaged", f"{number}.png", Effect.BROKEN)
    for number in range(num_listed):
        reading.problems.add("listed twice", f"{number}.png", Effect.LEFT_OUT)
    if is_refused:
        with pytest.raises(DatasetError, match=r"training set: 2 of 39 .*damaged.*0\.png"):
            settle("training", num_listed, [], reading)
    else:
        settle("training", num_listed, [], reading)


def test_what_nobody_can_read_rightly_stops_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reading = Reading(["cat"])
    reading.problems.add("two images share an id", "7", Effect.STOPS, remedy="give each its own")
    told = "1 x two images share an id; give each its own, for example 7"
    with pytest.raises(DatasetError, match=told):
        settle("training", 1000, [], reading)
    assert "images listed" in caplog.text
