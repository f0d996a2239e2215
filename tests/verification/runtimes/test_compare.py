"""What a runtime finds is compared object by object."""

import numpy as np
import pytest

from verification.runtimes import __main__ as runtimes
from verification.runtimes.scenes import scene


def outputs(boxes, scores, classes):
    one = {"boxes": np.array([boxes], np.float32), "scores": np.array([scores], np.float32)}
    one["classes"] = np.array([classes])
    return {f"{batch}/{key}": v for batch in range(len(runtimes.BATCHES)) for key, v in one.items()}


TWO = outputs([[0, 0, 20, 20], [50, 50, 90, 90], [0, 0, 9, 9]], [0.9, 0.5, 0.2], [0, 1, 1])


@pytest.mark.parametrize(
    ("found", "partners", "number"),
    [
        pytest.param(TWO, 2, 2, id="the same"),
        pytest.param(
            outputs([[50, 50, 90, 91], [0, 0, 20, 20]], [0.9, 0.5], [1, 0]), 2, 2, id="nearly"
        ),
        pytest.param(outputs([[0, 0, 20, 20]], [0.9], [1]), 0, 1, id="another class"),
        pytest.param(
            outputs([[0, 0, 20, 20], [0, 0, 20, 20]], [0.9, 0.5], [0, 0]), 1, 2, id="twice"
        ),
        pytest.param(outputs([[5, 0, 25, 20]], [0.9], [0]), 0, 1, id="displaced"),
        pytest.param(outputs(np.zeros((0, 4)), [], []), 0, 0, id="nothing"),
    ],
)
def test_objects_have_partners(found, partners, number):
    matched = runtimes.compare(TWO, found)
    batches = len(runtimes.BATCHES)
    assert (matched.expected, matched.found) == (2 * batches, number * batches)
    assert matched.partners == partners * batches
    assert (matched.share == 1) == (partners == 2)


def test_the_table_tells_what_does_not_agree():
    records = [
        {"model": "RetinaNet", "runtime": "openvino", "precision": "bf16", "agrees": False}
        | {"expected": 22, "found": 82, "partners": 3},
        {"model": "RetinaNet", "runtime": "openvino", "precision": "fp32", "agrees": True}
        | {"expected": 22, "found": 22, "partners": 22},
    ]
    document = "a\n<!-- generated: runtimes -->\nold\n<!-- end of what is generated -->\nb\n"
    table = runtimes.with_table(document, records)
    assert "| 22 of 22, found 22 | **no**: 3 of 22, found 82 | not run |" in table
    assert "old" not in table
    assert runtimes.with_table(table, records) == table


def test_scenes_are_full_of_objects_that_do_not_touch():
    drawn = scene(256, 320, seed=3)
    assert drawn.pixels.shape == (256, 320, 3)
    assert len(drawn.boxes) == len(drawn.classes) == len(drawn.polygons) > 5
    for box, polygon in zip(drawn.boxes, drawn.polygons, strict=True):
        points = polygon.reshape(-1, 2)
        np.testing.assert_allclose([*points.min(axis=0), *points.max(axis=0)], box, rtol=1e-5)
