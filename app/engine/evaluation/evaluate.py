"""From a model and labelled images to numbers: which metrics a config asks for, and their report."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from app.engine.config import CfgNode
from app.engine.data.loader import build_test_loader
from app.engine.evaluation.coco import CocoEvaluator, Task
from app.engine.evaluation.evaluator import (
    ClassResult,
    Evaluation,
    Evaluator,
    Results,
    flatten,
    log_copypaste,
)
from app.engine.evaluation.inference import OnBatch, Progress, run_inference
from app.engine.evaluation.operating_point import match_classes
from app.engine.modeling.detector import Detector
from app.engine.structures.sample import ImageRecord

logger = logging.getLogger(__name__)

Gather = Callable[[Any], list[Any] | None]
"""One process's state -> the states of all processes on the first, None on the others."""


def evaluate(
    model: Detector,
    cfg: CfgNode,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    batch_size: int = 1,
    num_workers: int = 0,
    score_thresh: float = 0.2,
    dtype: torch.dtype | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    progress: Progress | None = None,
    on_batch: OnBatch | None = None,
) -> Evaluation:
    """Detect in every image of `records` and compare with its labels; the tables go to the log.

    score_thresh  where hits, false alarms and misses are counted
    dtype         bfloat16 or float16: run the network in it; None: float32
    evaluators    in place of those that `cfg` asks for
    """
    shares = evaluate_share(
        *(model, cfg, records, class_names),
        batch_size=batch_size,
        num_workers=num_workers,
        score_thresh=score_thresh,
        dtype=dtype,
        evaluators=evaluators,
        progress=progress,
        on_batch=on_batch,
    )
    assert shares is not None
    return shares


def evaluate_share(
    model: Detector,
    cfg: CfgNode,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    rank: int = 0,
    world_size: int = 1,
    gather: Gather | None = None,
    batch_size: int = 1,
    num_workers: int = 0,
    score_thresh: float = 0.2,
    dtype: torch.dtype | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    progress: Progress | None = None,
    on_batch: OnBatch | None = None,
) -> Evaluation | None:
    """`evaluate` over several processes: each takes its share, the first gets the numbers."""
    chosen = build_evaluators(cfg, records, class_names) if evaluators is None else evaluators
    loader = build_test_loader(
        *(cfg, records),
        batch_size=batch_size,
        rank=rank,
        world_size=world_size,
        num_workers=num_workers,
    )
    num_images = run_inference(
        *(model, loader, {record.image_id: record for record in records}, chosen),
        num_batches=len(loader),
        num_devices=world_size,
        dtype=dtype,
        progress=progress,
        on_batch=on_batch,
    )
    if gather is not None:
        states = gather([num_images, *(evaluator.state() for evaluator in chosen)])
        if states is None:
            return None
        num_images = sum(state[0] for state in states)
        for index, evaluator in enumerate(chosen, start=1):
            evaluator.merge([state[index] for state in states])
    if num_images < len(records):
        logger.warning("%d images were not evaluated", len(records) - num_images)
    return _report(chosen, num_images=num_images, score_thresh=score_thresh)


def build_evaluators(
    cfg: CfgNode, records: Sequence[ImageRecord], class_names: Sequence[str]
) -> list[Evaluator]:
    """The metrics that fit what the config's model finds."""
    tasks: list[Task] = ["bbox"]
    if cfg.MODEL.MASK_ON:
        tasks.append("segm")
    if cfg.MODEL.KEYPOINT_ON:
        tasks.append("keypoints")
    return [
        CocoEvaluator(
            records,
            class_names,
            tasks=tasks,
            max_detections=cfg.TEST.DETECTIONS_PER_IMAGE,
            oks_sigmas=cfg.TEST.KEYPOINT_OKS_SIGMAS,
        )
    ]


def _report(evaluators: Sequence[Evaluator], *, num_images: int, score_thresh: float) -> Evaluation:
    results: Results = {}
    for evaluator in evaluators:
        results |= evaluator.results()
    log_copypaste(results)
    metrics = flatten(results)
    boxes = next((e for e in evaluators if isinstance(e, CocoEvaluator)), None)
    if boxes is None:
        return Evaluation(metrics, num_images=num_images)
    metrics |= {f"{task}/AR": value for task, value in boxes.recall.items()}
    return _with_operating_point(boxes, metrics, num_images, score_thresh)


def _with_operating_point(
    boxes: CocoEvaluator, metrics: Mapping[str, float], num_images: int, score_thresh: float
) -> Evaluation:
    records = [record for record in boxes.records if record.image_id in boxes.images]
    images = [boxes.images[record.image_id] for record in records]
    tp = fp = fn = 0
    per_class = {}
    matched = match_classes(records, images, len(boxes.class_names))
    for name, matches in zip(boxes.class_names, matched, strict=True):
        hits, false_alarms, misses = matches.counts(score_thresh)
        tp, fp, fn = tp + hits, fp + false_alarms, fn + misses
        ap, ap50 = boxes.class_ap.get(name, (float("nan"), float("nan")))
        per_class[name] = ClassResult(matches.num_objects, ap, ap50, *matches.best_f1())
    logger.info(
        "At score %.2f and IoU 0.5: %d right, %d wrong, %d missed", score_thresh, tp, fp, fn
    )
    return Evaluation(dict(metrics), per_class, tp, fp, fn, score_thresh, num_images)
