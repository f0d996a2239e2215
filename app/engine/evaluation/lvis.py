"""LVIS's average precision (https://arxiv.org/abs/1908.03195), computed by faster-coco-eval.

Each image is labelled for some classes only; detections of other classes do not count.
T: IoU thresholds, R: recall points, K: classes, A: area ranges
"""

import logging
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCOeval_faster

from app.engine.evaluation.coco import IouType, coco_dataset, coco_detections, summary
from app.engine.evaluation.evaluator import Results
from app.engine.evaluation.instances import ImageInstances, InstanceStore
from app.engine.evaluation.tables import small_table
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

MAX_DETECTIONS = 300

FREQUENCIES = "rcf"
"""Rare, common and frequent classes: at most 10, at most 100, and more training images."""


class LvisEvaluator(InstanceStore):
    """AP, AP50, AP75, by size, and over rare, common and frequent classes.

    frequencies  'r', 'c' or 'f' for each class; empty: unknown
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        class_names: Sequence[str],
        *,
        frequencies: Sequence[str] = (),
        iou_types: Sequence[IouType] = ("bbox",),
        max_detections: int = MAX_DETECTIONS,
    ) -> None:
        super().__init__()
        self.records = records
        self.class_names = class_names
        self.frequencies = frequencies
        self.iou_types = sorted(iou_types)
        self.max_detections = max_detections

    def results(self) -> Results:
        """Return the metrics of each IoU type; log a table."""
        if not any(len(image) for image in self.images.values()):
            logger.warning("No predictions from the model!")
        return {iou_type: self._evaluate(iou_type) for iou_type in self.iou_types}

    def _evaluate(self, iou_type: IouType) -> dict[str, float]:
        records = [record for record in self.records if record.image_id in self.images]
        logger.info("Evaluating with max detections per image = %d", self.max_detections)
        names = ["APs", "APm", "APl"]
        if not records:
            groups = [f"AP{f}" for f in FREQUENCIES]
            return dict.fromkeys(["AP", "AP50", "AP75", *names, *groups], math.nan)
        gt = coco_dataset(records, self.class_names, iou_type=iou_type)
        for image, record in zip(gt.dataset["images"], records, strict=True):
            image["neg_category_ids"] = _ids(record, "neg_classes")
            image["not_exhaustive_category_ids"] = _ids(record, "not_exhaustive_classes")
        frequencies = self.frequencies or ["f"] * len(self.class_names)
        for category, frequency in zip(gt.dataset["categories"], frequencies, strict=True):
            category["frequency"] = frequency
        images = [self._judged(record) for record in records]
        evaluation = COCOeval_faster(
            gt,
            coco_detections(gt, images, iou_type=iou_type),
            iou_type,
            print_function=logger.debug,
            lvis_style=True,
        )
        evaluation.params.catIds = list(range(1, len(self.class_names) + 1))
        evaluation.params.maxDets = [self.max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
        precision = np.asarray(evaluation.eval["precision"])
        results = summary(precision, names) | self._by_frequency(precision)
        logger.info("Evaluation results for %s: \n%s", iou_type, small_table(results))
        return results

    def _judged(self, record: ImageRecord) -> ImageInstances:
        """Return the detections that count; the limit applies to all classes together."""
        image = self.images[record.image_id].best(self.max_detections)
        looked_for = [*record.classes.tolist(), *record.extra.get("neg_classes", ())]
        return image.select(np.flatnonzero(np.isin(image.classes, looked_for)))

    def _by_frequency(self, precision: npt.NDArray[np.float64]) -> dict[str, float]:
        results = {}
        for frequency in FREQUENCIES:
            rows = [k for k, f in enumerate(self.frequencies) if f == frequency]
            known = precision[:, :, rows, 0, -1]
            known = known[known > -1]
            results[f"AP{frequency}"] = 100 * float(known.mean()) if known.size else math.nan
        return results


def _ids(record: ImageRecord, key: str) -> list[int]:
    return [int(k) + 1 for k in record.extra.get(key, ())]
