"""True positives, false positives and false negatives at one score threshold.

G: labelled objects, D: detections of one class over all images
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.engine.evaluation.instances import ImageInstances, box_ioa, box_iou, ignored
from app.engine.structures.record import ImageRecord

_IOU_THRESH = 0.5


@dataclass(frozen=True, slots=True)
class ClassMatches:
    """Matched detections of one class, best score first.

    scores       (D,) float32, without detections of ignored regions
    correct      (D,) bool
    num_objects  number of labelled objects that count
    """

    scores: npt.NDArray[np.float32]
    correct: npt.NDArray[np.bool_]
    num_objects: int

    def counts(self, score_thresh: float) -> tuple[int, int, int]:
        """Return true positives, false positives and false negatives at `score_thresh`."""
        kept = self.correct[self.scores >= score_thresh]
        tp = int(kept.sum())
        return tp, len(kept) - tp, self.num_objects - tp

    def best_f1(self) -> tuple[float, float, float, float]:
        """Return the highest F1, its score threshold, precision and recall; else zeros."""
        if self.num_objects == 0 or not self.correct.any():
            return 0.0, 0.0, 0.0, 0.0
        tp = np.cumsum(self.correct)
        f1 = 2 * tp / (np.arange(1, len(tp) + 1) + self.num_objects)
        # A threshold keeps all detections of equal score or none, so only the last one counts.
        f1[:-1][self.scores[:-1] == self.scores[1:]] = -1
        best = int(f1.argmax())
        score_thresh, right = float(self.scores[best]), int(tp[best])
        return float(f1[best]), score_thresh, right / (best + 1), right / self.num_objects


def match_classes(
    records: Sequence[ImageRecord], images: Sequence[ImageInstances], num_classes: int
) -> list[ClassMatches]:
    """Match all images at IoU 0.5, best score first, as in COCO; return a result for each class."""
    scores: list[list[npt.NDArray[np.float32]]] = [[] for _ in range(num_classes)]
    correct: list[list[npt.NDArray[np.bool_]]] = [[] for _ in range(num_classes)]
    num_objects = np.zeros(num_classes, dtype=np.int64)
    for record, image in zip(records, images, strict=True):
        skip = ignored(record)
        num_objects += np.bincount(record.classes[~skip], minlength=num_classes)[:num_classes]
        for k in np.unique(image.classes):
            pred, gt = np.flatnonzero(image.classes == k), np.flatnonzero(record.classes == k)
            pred = pred[np.argsort(-image.scores[pred], kind="mergesort")]
            outcome = _match(image.boxes[pred], record.boxes[gt], skip[gt])
            scores[k].append(image.scores[pred][outcome >= 0])
            correct[k].append(outcome[outcome >= 0] > 0)
    return [_sorted_matches(scores[k], correct[k], int(num_objects[k])) for k in range(num_classes)]


def _match(
    boxes: npt.NDArray[np.float32],
    gt_boxes: npt.NDArray[np.float32],
    skip: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int8]:
    """Return 1 (right), 0 (wrong) or -1 (ignored) for boxes in descending order of score."""
    outcome = np.zeros(len(boxes), dtype=np.int8)
    if len(gt_boxes) == 0:
        return outcome
    iou = box_iou(boxes, gt_boxes)
    free: npt.NDArray[np.bool_] = np.logical_not(skip)
    # COCO's rule for crowds: a box is ignored if at least half of it lies in the region.
    in_region = box_ioa(boxes, gt_boxes[skip]) >= _IOU_THRESH
    excused = np.atleast_1d(in_region.any(axis=1))
    for row in range(len(boxes)):
        candidates = np.where(free, iou[row], -1.0)
        best = int(candidates.argmax())
        if candidates[best] >= _IOU_THRESH:
            outcome[row], free[best] = 1, False
        elif excused[row]:
            outcome[row] = -1
    return outcome


def _sorted_matches(
    scores: list[npt.NDArray[np.float32]], correct: list[npt.NDArray[np.bool_]], num_objects: int
) -> ClassMatches:
    if not scores:
        return ClassMatches(np.zeros(0, np.float32), np.zeros(0, bool), num_objects)
    all_scores, all_correct = np.concatenate(scores), np.concatenate(correct)
    order = np.argsort(-all_scores, kind="mergesort")
    return ClassMatches(all_scores[order], all_correct[order], num_objects)
