"""Evaluates a model on labelled images with the metrics of its config, and logs a report."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from app.engine.config import CfgNode, results
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.loading.damaged import MetImages, report_met
from app.engine.data.loading.loader import CLIPPED, build_test_loader
from app.engine.errors import ConfigError
from app.engine.evaluation.cityscapes import (
    CityscapesInstanceEvaluator,
    CityscapesSemanticEvaluator,
)
from app.engine.evaluation.coco import CocoEvaluator, IouType
from app.engine.evaluation.evaluator import (
    ClassResult,
    Coverage,
    Evaluation,
    Evaluator,
    Results,
    flatten,
    log_copypaste,
    verify_results,
    with_augmented,
)
from app.engine.evaluation.inference import OnBatch, run_inference
from app.engine.evaluation.instances import InstanceStore
from app.engine.evaluation.keypoint_sigmas import oks_sigmas
from app.engine.evaluation.lvis import LvisEvaluator
from app.engine.evaluation.operating_point import match_classes
from app.engine.evaluation.panoptic import PanopticEvaluator
from app.engine.evaluation.proposals import ProposalEvaluator
from app.engine.evaluation.result_files import result_files
from app.engine.evaluation.semantic import SemanticEvaluator
from app.engine.evaluation.voc import VocEvaluator
from app.engine.layers.precision import set_float32_precision
from app.engine.modeling.detector import Detector
from app.engine.structures.record import ImageRecord
from app.engine.structures.tiles import TileGrid
from app.engine.tiles.tiled_detector import tiled
from app.engine.tta import AugmentedDetector
from common.progress import Progress

logger = logging.getLogger(__name__)

SCORE_THRESH = 0.2
"""Default score threshold for counting true positives, false positives and false negatives."""


def evaluate(
    model: Detector,
    cfg: CfgNode,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    batch_size: int = 1,
    num_workers: int | None = None,
    score_thresh: float = SCORE_THRESH,
    dtype: torch.dtype | None = None,
    dataset: Dataset | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    results_dir: Path | None = None,
    progress: Progress | None = None,
    on_batch: OnBatch | None = None,
) -> Evaluation:
    """Run the model on every image of `records`, compare with its labels and log the tables.

    With TEST.AUG a second evaluation uses the views of each image; its metrics are `bbox_TTA/AP`.
    Unreadable images are logged and left out of all metrics; DatasetError if all are unreadable.

    score_thresh  score threshold for counting true positives, false positives, false negatives
    dtype         bfloat16 or float16: run the network in it; None: float32
    dataset       data set whose evaluation rules apply; None: COCO's
    evaluators    used instead of those that `cfg` and `dataset` define
    results_dir   folder for files of the detections in COCO's formats; those of TEST.AUG go to
                  the folder of that name with `_TTA`
    """
    chosen = evaluators or build_evaluators(cfg, records, class_names, dataset=dataset)
    set_float32_precision(cfg)
    loader = build_test_loader(cfg, records, batch_size=batch_size, num_workers=num_workers)
    loader.problems = problems = MetImages()
    by_id = {record.image_id: record for record in records}

    def measure(detector: Detector, directory: Path | None) -> Evaluation:
        files = [] if directory is None else _writers(cfg, directory, chosen, class_names, dataset)
        coverage = Coverage()
        num_images = run_inference(
            detector,
            loader,
            by_id,
            [coverage, *files, *chosen],
            num_batches=len(loader),
            dtype=dtype,
            progress=progress,
            on_batch=on_batch,
        )
        coverage.require_any(records)
        return report([*files, *chosen], num_images=num_images, score_thresh=score_thresh)

    augmented = AugmentedDetector.around(model, cfg) if cfg.TEST.AUG.ENABLED else None
    evaluation = measure(tiled(model, cfg, batch_size=batch_size), results_dir)
    if augmented is not None:
        logger.info("Running inference with test-time augmentation ...")
        for evaluator in chosen:
            evaluator.merge([])
        second_dir = results_dir and results_dir.with_name(f"{results_dir.name}_TTA")
        evaluation = with_augmented(evaluation, measure(tiled(augmented, cfg), second_dir))
    report_met("evaluation", [problems.met(CLIPPED)], len(records))
    verify_results(cfg.TEST.EXPECTED_RESULTS, evaluation.metrics)
    return evaluation


def _writers(
    cfg: CfgNode,
    directory: Path,
    evaluators: Sequence[Evaluator],
    class_names: Sequence[str],
    dataset: Dataset | None,
) -> list[Evaluator]:
    store = next((e for e in evaluators if isinstance(e, InstanceStore)), None)
    known = Dataset([], list(class_names)) if dataset is None else dataset
    return result_files(directory, results(cfg), known, store=store)


def build_evaluators(
    cfg: CfgNode,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    dataset: Dataset | None = None,
) -> list[Evaluator]:
    """Return the evaluators for the config's model, by the rules of the records' data set.

    dataset  None: COCO's rules
    """
    found = results(cfg)
    evaluators: list[Evaluator] = []
    if "box_proposals" in found:
        evaluators.append(ProposalEvaluator())
    if "bbox" in found:
        evaluators.append(_instance_evaluator(cfg, records, class_names, dataset))
    if "sem_seg" in found:
        names = [] if dataset is None else dataset.stuff_names
        if not names:
            raise ConfigError(
                f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} is evaluated on label "
                "maps; give a data set that has them"
            )
        evaluators.append(_semantic_evaluator(cfg, names, dataset))
    has_segments = dataset is not None and dataset.stuff_ids and dataset.evaluation != "semantic"
    if "panoptic_seg" in found and cfg.MODEL.PANOPTIC_FPN.COMBINE.ENABLED and has_segments:
        assert dataset is not None
        ids = {"thing_ids": dataset.category_ids, "stuff_ids": dataset.stuff_ids}
        evaluators.append(PanopticEvaluator(**ids))
    return evaluators


def _semantic_evaluator(
    cfg: CfgNode, names: Sequence[str], dataset: Dataset | None
) -> SemanticEvaluator | CityscapesSemanticEvaluator:
    if dataset is not None and dataset.evaluation == "cityscapes":
        return CityscapesSemanticEvaluator()
    return SemanticEvaluator(names, ignore_label=cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE)


def _instance_evaluator(
    cfg: CfgNode,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    dataset: Dataset | None,
) -> Evaluator:
    iou_types: list[IouType] = ["bbox"]
    if cfg.MODEL.MASK_ON:
        iou_types.append("segm")
    rules = "coco" if dataset is None else dataset.evaluation
    if rules == "cityscapes" and cfg.MODEL.MASK_ON:
        return CityscapesInstanceEvaluator()
    if rules == "voc":
        eleven_point = any("2007" in str(name) for name in cfg.DATASETS.TEST)
        return VocEvaluator(records, class_names, eleven_point=eleven_point)
    if rules == "lvis" and dataset is not None:
        return LvisEvaluator(
            records,
            class_names,
            frequencies=dataset.frequencies,
            iou_types=iou_types,
            max_detections=max_detections(cfg, records),
        )
    if cfg.MODEL.KEYPOINT_ON:
        iou_types.append("keypoints")
    return CocoEvaluator(
        records,
        class_names,
        iou_types=iou_types,
        max_detections=max_detections(cfg, records),
        oks_sigmas=oks_sigmas(cfg) if cfg.MODEL.KEYPOINT_ON else (),
    )


def max_detections(cfg: CfgNode, records: Sequence[ImageRecord]) -> int:
    """Return the largest number of detections in one image that a model can give."""
    per_image, grid = int(cfg.TEST.DETECTIONS_PER_IMAGE), TileGrid.from_config(cfg)
    if grid is None:
        return per_image
    return max((grid.limit(per_image, record.size) for record in records), default=per_image)


def report(evaluators: Sequence[Evaluator], *, num_images: int, score_thresh: float) -> Evaluation:
    """Return the metrics of `evaluators`; log the tables and the `copypaste:` lines."""
    results: Results = {}
    for evaluator in evaluators:
        results |= evaluator.results()
    log_copypaste(results)
    metrics = flatten(results)
    boxes = next((e for e in evaluators if isinstance(e, CocoEvaluator)), None)
    if boxes is None:
        return Evaluation(metrics, num_images=num_images)
    metrics |= {f"{iou_type}/AR": value for iou_type, value in boxes.recall.items()}
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
