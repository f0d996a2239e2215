"""Numbers about a data set."""

import numpy as np
import pytest

from app.engine.data.fit import best_anchor_iou, network_shapes, summarize


def test_summary(make_record) -> None:
    crowd = make_record([[0, 0, 20, 20]], [1])
    crowd.crowd = np.array([True])
    records = [make_record([[0, 0, 4, 4], [0, 0, 8, 4]], [0, 0]), make_record([]), crowd]
    summary = summarize(records, ["cat", "dog"], edge=48, max_size=1000)
    assert (summary.num_images, summary.num_empty, summary.num_objects) == (3, 2, 2)
    assert summary.most_objects == 2
    assert summary.objects_of == {"cat": 2, "dog": 0}
    assert summary.images_of == {"cat": 1, "dog": 0}
    assert summary.side_quantiles[1] == pytest.approx((8 + np.sqrt(16 * 8)) / 2)
    assert summary.ratio_quantiles[1] == pytest.approx(0.75)
    assert summary.lines()[-1] == "no object of: dog"


def test_nothing(make_record) -> None:
    summary = summarize([], [], edge=800, max_size=1333)
    assert summary.side_quantiles == (0, 0, 0)
    assert summary.most_objects == 0
    assert len(summary.lines()) == 2
    assert network_shapes([make_record([])], edge=0, max_size=0).shape == (0, 2)


def test_best_anchor_iou() -> None:
    anchors = np.array([[10.0, 10], [20, 20]])
    shapes = np.array([[10.0, 10], [20, 10], [5, 5]])
    assert best_anchor_iou(shapes, anchors).tolist() == [1.0, 0.5, 0.25]
    assert best_anchor_iou(np.zeros((0, 2)), anchors).shape == (0,)
    assert best_anchor_iou(shapes, np.zeros((0, 2))).tolist() == [0, 0, 0]
