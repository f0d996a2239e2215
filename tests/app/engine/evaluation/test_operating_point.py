"""Hits, false alarms and misses on hand-made boxes."""

from pathlib import Path

import numpy as np
import pytest

from app.engine.evaluation.instances import ImageInstances
from app.engine.evaluation.operating_point import match_classes
from app.engine.structures.record import ImageRecord

GT = [[0, 0, 10, 10], [20, 0, 30, 10]]


def record(boxes, classes=None, **extra):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    classes = np.zeros(len(boxes), np.int64) if classes is None else np.array(classes)
    return ImageRecord(Path("a.jpg"), 40, 40, boxes, classes, 1, **extra)


def found(boxes, scores, classes=None):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    classes = np.zeros(len(boxes), np.int64) if classes is None else np.array(classes)
    return ImageInstances(boxes, np.array(scores, np.float32), classes)


@pytest.mark.parametrize(
    ("boxes", "scores", "thresh", "expected"),
    [
        pytest.param(GT, [0.9, 0.8], 0.5, (2, 0, 0), id="all found"),
        pytest.param(GT, [0.9, 0.4], 0.5, (1, 0, 1), id="one below the threshold"),
        pytest.param([GT[0], GT[0]], [0.9, 0.8], 0.5, (1, 1, 1), id="twice the same object"),
        pytest.param([[0, 0, 10, 4]], [0.9], 0.5, (0, 1, 2), id="overlap too small"),
        pytest.param([], [], 0.5, (0, 0, 2), id="nothing found"),
        pytest.param([[0, 0, 10, 5]], [0.9], 0.5, (1, 0, 1), id="exactly half counts"),
    ],
)
def test_counts(boxes, scores, thresh, expected):
    (matches,) = match_classes([record(GT)], [found(boxes, scores)], 1)
    assert matches.counts(thresh) == expected


@pytest.mark.parametrize("scores", [[0.9, 0.6], [0.6, 0.9]], ids=["best first", "best last"])
def test_an_object_goes_to_the_better_of_two(scores):
    (matches,) = match_classes([record(GT)], [found([GT[0], GT[0]], scores)], 1)
    assert matches.counts(0.8) == (1, 0, 1)


def test_no_image():
    (matches,) = match_classes([], [], 1)
    assert matches.counts(0.0) == (0, 0, 0)
    assert matches.best_f1() == (0, 0, 0, 0)


def test_other_class_is_a_false_alarm():
    matches = match_classes([record(GT, [0, 0])], [found([GT[0]], [0.9], [1])], 2)
    assert [m.counts(0.1) for m in matches] == [(0, 0, 2), (0, 1, 0)]


def test_crowd_excuses_every_box_inside():
    inside = [[0, 0, 5, 5], [5, 5, 10, 10]]
    labelled = record(GT, crowd=np.array([True, False]))
    (matches,) = match_classes([labelled], [found(inside, [0.9, 0.8])], 1)
    assert matches.counts(0.1) == (0, 0, 1)


def test_best_f1_takes_whole_ties():
    apart = [30, 30, 39, 39]
    image = found([GT[0], apart, GT[1], [0, 20, 9, 29]], [0.9, 0.5, 0.5, 0.1])
    (matches,) = match_classes([record(GT)], [image], 1)
    f1, score_thresh, precision, recall = matches.best_f1()
    assert score_thresh == pytest.approx(0.5)
    assert (precision, recall) == (pytest.approx(2 / 3), 1.0)
    assert f1 == pytest.approx(0.8)
