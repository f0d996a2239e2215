"""Measures COCO's AP of an exported model, and how sure a difference of two APs is."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from app.engine.errors import ImageError
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.evaluation.evaluator import Results
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.predictor.onnx_predictor import OnnxPredictor
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

PREFIXES = {"bbox": "", "segm": "mask_"}
"""IoU type -> prefix of its figures in files."""

MAX_GROUPS = 20
"""Groups of images that are left out in turn; more make the interval a little steadier."""

MIN_IMAGES = 5
"""With fewer images there is no interval."""

Interval = tuple[float, float]


def coco_metrics(
    path: Path,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    num_workers: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> Results:
    """Return the metrics of boxes ("bbox") and, if file and `records` have any, masks ("segm")."""
    evaluator = evaluated(path, records, class_names, num_workers=num_workers, on_image=on_image)
    return evaluator.results()


def evaluated(
    path: Path,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    num_workers: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> CocoEvaluator:
    """Return an evaluator that holds the file's detections in the images of `records`.

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
    return evaluator


def loss_intervals(before: CocoEvaluator, after: CocoEvaluator) -> Mapping[str, Interval]:
    """Return the interval that holds the loss of AP with a probability of 95 %, in points.

    The loss is AP of `before` minus AP of `after` on the same kind of images. It varies with the
    choice of these images; how much, the delete-a-group jackknife tells (Shao and Tu, The Jackknife
    and Bootstrap, 1995): each of up to 20 groups of images is left out in turn. Both evaluators
    lose the same images, so that what is hard for both does not count. Nothing is drawn at random.
    """
    images = [record.image_id for record in before.records if record.image_id in before.images]
    if len(images) < MIN_IMAGES:
        return dict.fromkeys(before.iou_types, (-math.inf, math.inf))
    number = min(len(images), MAX_GROUPS)
    groups = [frozenset(images[start::number]) for start in range(number)]
    whole, parts = _loss(before, after, frozenset()), [_loss(before, after, g) for g in groups]
    return {t: _jackknife(whole[t], [part[t] for part in parts]) for t in before.iou_types}


def _loss(
    before: CocoEvaluator, after: CocoEvaluator, left_out: frozenset[int | str]
) -> Mapping[str, float]:
    one, other = before.ap_without(left_out), after.ap_without(left_out)
    return {iou_type: one[iou_type] - other[iou_type] for iou_type in one}


def _jackknife(whole: float, parts: Sequence[float]) -> Interval:
    known = [part for part in parts if math.isfinite(part)]
    if len(known) < MIN_IMAGES or not math.isfinite(whole):
        return -math.inf, math.inf
    number, mean = len(known), sum(known) / len(known)
    error = math.sqrt((number - 1) / number * sum((part - mean) ** 2 for part in known))
    half = _student(number - 1) * error
    return whole - half, whole + half


def _student(freedom: int) -> float:
    """Return the 97.5 % point of Student's t, by Abramowitz and Stegun 26.7.5."""
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def _detections(found: ArrayDetections) -> Detections:
    return Detections(
        found.image_size,
        torch.from_numpy(found.boxes),
        torch.from_numpy(found.scores),
        torch.from_numpy(found.classes),
        masks=None if found.masks is None else torch.from_numpy(found.masks),
    )
