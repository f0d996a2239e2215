"""Measures COCO's AP of an exported model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from app.engine.errors import ImageError
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.evaluation.evaluator import Results
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.predictor.onnx_predictor import OnnxPredictor
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord


def coco_metrics(
    path: Path,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    num_workers: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> Results:
    """Return the metrics of boxes ("bbox") and, if file and `records` have any, masks ("segm").

    Unreadable images are left out. `on_image` is called after each image.
    """
    has_masks = any(record.segmentations is not None for record in records)
    predictor = OnnxPredictor(path, boxes_only=not has_masks)
    evaluator = CocoEvaluator(
        records,
        class_names,
        iou_types=("bbox", "segm") if has_masks and predictor.card.has_masks else ("bbox",),
    )
    files = predictor.detect_files((r.path for r in records), num_workers=num_workers)
    for record, (_, found) in zip(records, files, strict=True):
        on_image()
        if not isinstance(found, ImageError):
            evaluator.add(record, _detections(found))
    return evaluator.results()


def _detections(found: ArrayDetections) -> Detections:
    return Detections(
        found.image_size,
        torch.from_numpy(found.boxes),
        torch.from_numpy(found.scores),
        torch.from_numpy(found.classes),
        masks=None if found.masks is None else torch.from_numpy(found.masks),
    )
