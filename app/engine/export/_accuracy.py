"""COCO's AP of an exported model."""

from collections.abc import Callable, Mapping, Sequence

import torch

from app.engine.errors import ImageError
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.predictor.onnx_predictor import OnnxPredictor
from app.engine.structures.detections import Detections
from app.engine.structures.sample import ImageRecord


def box_metrics(
    predictor: OnnxPredictor,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    num_workers: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> Mapping[str, float]:
    """COCO's numbers for boxes, 0..100, by the names that evaluations give them.

    Unreadable images are left out. `on_image` is called after each image.
    """
    evaluator = CocoEvaluator(records, class_names)
    files = predictor.detect_files((r.path for r in records), num_workers=num_workers)
    for record, (_, found) in zip(records, files, strict=True):
        on_image()
        if not isinstance(found, ImageError):
            evaluator.add(
                record,
                Detections(
                    found.image_size,
                    torch.from_numpy(found.boxes),
                    torch.from_numpy(found.scores),
                    torch.from_numpy(found.classes),
                ),
            )
    return evaluator.results()["bbox"]
