"""The accuracy of an exported model: that of boxes, and of masks if there are any."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from app.engine.errors import ImageError
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.export import _accuracy
from app.engine.export._accuracy import coco_metrics, loss_intervals
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

BOX = np.array([[2, 2, 12, 12]], dtype=np.float32)
SQUARE = [np.array([2, 2, 12, 2, 12, 12, 2, 12], dtype=np.float64)]
LABELLED = ImageRecord(Path("a.png"), 20, 20, BOX, np.array([0]), 1, segmentations=[SQUARE])


class Half:
    """Finds every box, and the left half of its mask; cannot read b.png."""

    has_masks = True

    def __init__(self, _path, *, boxes_only):
        self.card = SimpleNamespace(has_masks=self.has_masks)
        self.gives_masks = self.has_masks and not boxes_only

    def detect_files(self, paths, *, num_workers):
        masks = np.zeros((1, 20, 20), dtype=np.bool_)
        masks[0, 2:12, 2:8] = True
        found = ArrayDetections(
            (20, 20),
            BOX,
            np.ones(1, np.float32),
            np.zeros(1, np.int64),
            masks if self.gives_masks else None,
        )
        for path in paths:
            yield path, ImageError("broken") if path.name == "b.png" else found


class HalfWithoutMasks(Half):
    has_masks = False


@pytest.mark.parametrize(
    ("predictor", "segmentations", "expected"),
    [
        pytest.param(Half, [SQUARE], {"bbox": 100.0, "segm": 30.0}, id="masks"),
        pytest.param(Half, None, {"bbox": 100.0}, id="labels without masks"),
        pytest.param(HalfWithoutMasks, [SQUARE], {"bbox": 100.0}, id="a model without masks"),
    ],
)
def test_masks_count_where_model_and_labels_have_them(
    monkeypatch, predictor, segmentations, expected
):
    monkeypatch.setattr(_accuracy, "OnnxPredictor", predictor)
    record = replace(LABELLED, segmentations=segmentations)
    broken = replace(record, path=Path("b.png"), image_id=2)
    seen = []
    results = coco_metrics(
        Path("model.onnx"), [record, broken], ["ant"], on_image=lambda: seen.append(1)
    )
    assert {task: metrics["AP"] for task, metrics in results.items()} == pytest.approx(expected)
    assert len(seen) == 2


def evaluators(found_before, found_after, num_images=40):
    """Evaluators of images with one object each, found as the functions of its number say."""
    records = [replace(LABELLED, path=Path(f"{n}.png"), image_id=n) for n in range(num_images)]
    made = []
    for found in (found_before, found_after):
        evaluator = CocoEvaluator(records, ["ant"])
        for number, record in enumerate(records):
            hits = int(found(number))
            evaluator.add(
                record,
                Detections(
                    (20, 20),
                    torch.tensor(BOX.repeat(hits, axis=0)),
                    torch.full((hits,), 0.9 - number / 1000),
                    torch.zeros(hits, dtype=torch.int64),
                ),
            )
        made.append(evaluator)
    return made


@pytest.mark.parametrize(
    ("before", "after", "loss", "widest"),
    [
        pytest.param(lambda n: n % 5, lambda n: n % 5, 0.0, 0.0, id="the same: nothing is unsure"),
        pytest.param(lambda n: True, lambda n: n != 7, 2.0, 15.0, id="one image of forty"),
        pytest.param(lambda n: True, lambda n: n % 2, 50.0, 60.0, id="every other image"),
    ],
)
def test_the_interval_of_the_loss_holds_what_is_measured(before, after, loss, widest):
    (low, high) = loss_intervals(*evaluators(before, after))["bbox"]
    assert low <= high <= low + widest
    assert (low + high) / 2 == pytest.approx(loss, abs=1.5)
    again = loss_intervals(*evaluators(before, after))["bbox"]
    assert again == (low, high)


def test_the_interval_narrows_with_more_images():
    widths = [
        high - low
        for number in (20, 80)
        for low, high in [
            loss_intervals(*evaluators(lambda n: True, lambda n: n % 7 != 3, number))["bbox"]
        ]
    ]
    assert 0 < widths[1] < widths[0]


@pytest.mark.parametrize("num_images", [0, 1, 4])
def test_too_few_images_for_an_interval(num_images):
    found = loss_intervals(*evaluators(lambda n: True, lambda n: True, num_images))
    assert found == {"bbox": (-math.inf, math.inf)}
