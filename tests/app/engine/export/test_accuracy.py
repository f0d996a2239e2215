"""The accuracy of an exported model: that of boxes, and of masks if there are any."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from app.engine.errors import ImageError
from app.engine.export import _accuracy
from app.engine.export._accuracy import coco_metrics
from app.engine.predictor.array_detections import ArrayDetections
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
