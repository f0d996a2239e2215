"""PASCAL VOC's average precision by the rules of its development kit, as in detectron2.

VOC's boxes are pixel indices from 1 with both ends inclusive, so a width is x1 - x0 + 1.
D: detections of one class, best first
"""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.engine.evaluation.evaluator import Results
from app.engine.evaluation.instances import ImageInstances, InstanceStore
from app.engine.evaluation.tables import per_class_table, small_table
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

IOU_THRESHOLDS = tuple(range(50, 100, 5))
"""IoU thresholds in percent."""

_FROM_ONE = np.array([1.0, 1.0, 0.0, 0.0])
"""Converts minima from counting from 0 to counting from 1; maxima are the same in both."""

Boxes = npt.NDArray[np.float64]


class VocEvaluator(InstanceStore):
    """AP (mean over IoU 0.5 .. 0.95), AP50, AP75; difficult objects do not count.

    eleven_point  average the curve at 11 points as VOC 2007 does; later years take its area
    """

    def __init__(
        self, records: Sequence[ImageRecord], class_names: Sequence[str], *, eleven_point: bool
    ) -> None:
        super().__init__()
        self.records = records
        self.class_names = class_names
        self.eleven_point = eleven_point

    def results(self) -> Results:
        """Return `bbox`; log the tables."""
        year = 2007 if self.eleven_point else 2012
        logger.info("Evaluating with the metric of PASCAL VOC %d", year)
        pairs = [(r, self.images[r.image_id]) for r in self.records if r.image_id in self.images]
        ap = np.array(
            [
                [
                    100 * self._class_ap(pairs, k, percent / 100)
                    for k in range(len(self.class_names))
                ]
                for percent in IOU_THRESHOLDS
            ]
        ).reshape(len(IOU_THRESHOLDS), -1)
        results = {
            "AP": float(ap.mean()),
            "AP50": float(ap[0].mean()),
            "AP75": float(ap[5].mean()),
        }
        logger.info("Evaluation results for bbox: \n%s", small_table(results))
        classes = dict(zip(self.class_names, ap.mean(axis=0).tolist(), strict=True))
        if len(classes) > 1:
            logger.info("Per-category bbox AP: \n%s", per_class_table(classes))
            results |= {f"AP-{name}": value for name, value in classes.items()}
        return {"bbox": results}

    def _class_ap(
        self, pairs: Sequence[tuple[ImageRecord, ImageInstances]], k: int, iou_thresh: float
    ) -> float:
        scores: list[npt.NDArray[np.float64]] = []
        outcomes: list[npt.NDArray[np.int8]] = []
        num_objects = 0
        for record, image in pairs:
            gt = record.classes == k
            difficult = (
                np.zeros(len(record), bool) if record.difficult is None else record.difficult
            )
            num_objects += int((gt & ~difficult).sum())
            # The kit's result files hold three decimals of scores and one of coordinates.
            mine = image.classes == k
            rounded = np.round(image.scores[mine].astype(np.float64), 3)
            order = np.argsort(-rounded, kind="stable")
            boxes = np.round(image.boxes[mine] + _FROM_ONE, 1)[order]
            gt_boxes = record.boxes[gt] + _FROM_ONE
            scores.append(rounded[order])
            outcomes.append(_match(boxes, gt_boxes, difficult[gt], iou_thresh))
        if num_objects == 0 or not scores:
            return float("nan")
        all_scores, all_outcomes = np.concatenate(scores), np.concatenate(outcomes)
        ranked = all_outcomes[np.argsort(-all_scores, kind="stable")]
        tp, fp = np.cumsum(ranked > 0), np.cumsum(ranked == 0)
        precision = tp / np.maximum(tp + fp, np.finfo(np.float64).eps)
        return average_precision(tp / num_objects, precision, eleven_point=self.eleven_point)


def average_precision(recall: Boxes, precision: Boxes, *, eleven_point: bool) -> float:
    """Return the AP of a curve with rising recall: (D,), (D,). 0 without detections."""
    if eleven_point:
        reached = [precision[recall >= t] for t in np.arange(0.0, 1.1, 0.1)]
        return sum(float(part.max()) if part.size else 0.0 for part in reached) / 11
    recall = np.concatenate(([0.0], recall, [1.0]))
    envelope = np.concatenate(([0.0], precision, [0.0]))
    envelope = np.maximum.accumulate(envelope[::-1])[::-1]
    return float((np.diff(recall) * envelope[1:]).sum())


def _match(
    boxes: Boxes, gt_boxes: Boxes, difficult: npt.NDArray[np.bool_], iou_thresh: float
) -> npt.NDArray[np.int8]:
    """Return 1 (right), 0 (wrong) or -1 (ignored) for (D, 4) boxes, best first.

    Unlike in COCO, a box can match only the object of highest IoU, even if that one is taken.
    """
    outcome = np.zeros(len(boxes), dtype=np.int8)
    if len(gt_boxes) == 0:
        return outcome
    iou = _inclusive_iou(boxes, gt_boxes)
    taken = np.zeros(len(gt_boxes), dtype=bool)
    for row, nearest in enumerate(iou.argmax(axis=1)):
        if iou[row, nearest] <= iou_thresh:
            continue
        if difficult[nearest]:
            outcome[row] = -1
        elif not taken[nearest]:
            outcome[row], taken[nearest] = 1, True
    return outcome


def _inclusive_iou(boxes: Boxes, gt_boxes: Boxes) -> Boxes:
    pred, gt = boxes[:, None], gt_boxes[None]
    low, high = np.maximum(pred[..., :2], gt[..., :2]), np.minimum(pred[..., 2:], gt[..., 2:])
    intersection = np.clip(high - low + 1, 0, None).prod(axis=2)
    areas = [(b[..., 2:] - b[..., :2] + 1).prod(axis=-1) for b in (pred, gt)]
    iou: Boxes = intersection / (areas[0] + areas[1] - intersection)
    return iou
