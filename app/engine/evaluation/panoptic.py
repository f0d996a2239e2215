"""Panoptic quality (https://arxiv.org/abs/1801.00868), with the same counts as panopticapi.

A segment is right if its IoU with a segment of its class exceeds 0.5; at most one can match.
"""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.engine.data.datasets.panoptic import read_segments
from app.engine.evaluation.evaluator import Results
from app.engine.evaluation.tables import pipe_table
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

Segments = npt.NDArray[np.int64]
Counts = npt.NDArray[np.float64]

_VOID = 0
_IOU, _TP, _FP, _FN = range(4)  # columns of the counts


class PanopticEvaluator:
    """PQ, SQ and RQ over all classes, things and stuff, 0..100.

    thing_ids  category id of each class
    stuff_ids  category id of each label of the semantic map, without label 0 (all things)
    """

    def __init__(self, *, thing_ids: Sequence[int], stuff_ids: Sequence[int]) -> None:
        self.thing_ids = list(thing_ids)
        self.stuff_ids = list(stuff_ids)
        self.rows = {c: row for row, c in enumerate([*self.thing_ids, *self.stuff_ids])}
        self.counts: Counts = np.zeros((len(self.rows), 4))

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Count one image's segments."""
        assert detections.panoptic is not None
        segments, described = detections.panoptic
        classes = {int(info["id"]): self._row(info) for info in described}
        gt_info = record.extra["segments_info"]
        gt_classes = {int(info["id"]): self.rows[info["category_id"]] for info in gt_info}
        crowds = {int(info["id"]) for info in gt_info if info.get("iscrowd", 0)}
        gt = read_segments(record.extra["pan_seg_path"])
        count_segments(
            self.counts,
            segments.cpu().numpy().astype(np.int64),
            classes,
            gt,
            gt_classes,
            crowds,
        )

    def _row(self, info: dict[str, int]) -> int:
        label = int(info["category_id"])
        category = self.thing_ids[label] if info["isthing"] else self.stuff_ids[label - 1]
        return self.rows[category]

    def state(self) -> Counts:
        """Return the counts for `merge` in another process."""
        return self.counts

    def merge(self, states: Sequence[Counts]) -> None:
        """Replace the counts by the sum over several processes."""
        self.counts = sum(states, start=np.zeros_like(self.counts))

    def results(self) -> Results:
        """Return `panoptic_seg`; classes without labels and without results do not count."""
        num_things = len(self.thing_ids)
        parts = {
            "All": self.counts,
            "Things": self.counts[:num_things],
            "Stuff": self.counts[num_things:],
        }
        qualities = {name: quality(counts) for name, counts in parts.items()}
        headers = ["", "PQ", "SQ", "RQ", "#categories"]
        table = pipe_table([[name, *row] for name, row in qualities.items()], headers)
        logger.info("Panoptic Evaluation Results:\n%s", table)
        results: dict[str, float] = {}
        for suffix, name in (("", "All"), ("_th", "Things"), ("_st", "Stuff")):
            pq, sq, rq, _ = qualities[name]
            results |= {f"PQ{suffix}": pq, f"SQ{suffix}": sq, f"RQ{suffix}": rq}
        return {"panoptic_seg": results}


def count_segments(
    counts: Counts,
    pred: Segments,
    pred_classes: dict[int, int],
    gt: Segments,
    gt_classes: dict[int, int],
    crowds: set[int],
) -> None:
    """Add one image to `counts`, whose rows are classes: sum of IoU, and TP, FP, FN.

    pred, gt      (H, W) segment ids; 0 is unlabelled
    pred_classes  row of each predicted segment; `gt_classes` that of each labelled one
    """
    overlaps = _overlaps(pred, gt)
    pred_areas, gt_areas = _areas(pred), _areas(gt)
    matched_pred, matched_gt = set(), set()
    for (gt_id, pred_id), shared in overlaps.items():
        row = gt_classes.get(gt_id)
        if row is None or gt_id in crowds or pred_classes.get(pred_id) != row:
            continue
        union = pred_areas[pred_id] + gt_areas[gt_id] - shared
        iou = shared / (union - overlaps.get((_VOID, pred_id), 0))
        if iou > 0.5:
            counts[row, _TP] += 1
            counts[row, _IOU] += iou
            matched_pred.add(pred_id)
            matched_gt.add(gt_id)
    for gt_id, row in gt_classes.items():
        if gt_id not in crowds and gt_id not in matched_gt:
            counts[row, _FN] += 1
    crowd_of = {gt_classes[gt_id]: gt_id for gt_id in gt_classes if gt_id in crowds}
    for pred_id, row in pred_classes.items():
        if pred_id in matched_pred or pred_id not in pred_areas:
            continue
        excused = overlaps.get((_VOID, pred_id), 0)
        if row in crowd_of:
            excused += overlaps.get((crowd_of[row], pred_id), 0)
        if excused / pred_areas[pred_id] <= 0.5:
            counts[row, _FP] += 1


def quality(counts: Counts) -> tuple[float, float, float, int]:
    """Return PQ, SQ, RQ (0..100, means over the classes that occur) and the number of these."""
    iou, tp, fp, fn = counts.T
    seen = tp + fp + fn > 0
    if not seen.any():
        return float("nan"), float("nan"), float("nan"), 0
    weight = (tp + 0.5 * fp + 0.5 * fn)[seen]
    pq, rq = iou[seen] / weight, tp[seen] / weight
    sq = np.divide(iou[seen], tp[seen], out=np.zeros(len(pq)), where=tp[seen] > 0)
    means = [100 * float(values.mean()) for values in (pq, sq, rq)]
    return means[0], means[1], means[2], int(seen.sum())


def _areas(segments: Segments) -> dict[int, int]:
    ids, areas = np.unique(segments, return_counts=True)
    return dict(zip(ids.tolist(), areas.tolist(), strict=True))


def _overlaps(pred: Segments, gt: Segments) -> dict[tuple[int, int], int]:
    """Count the pixels that each (labelled segment, predicted segment) share."""
    pairs, areas = np.unique(np.stack((gt.ravel(), pred.ravel())), axis=1, return_counts=True)
    keys = zip(pairs[0].tolist(), pairs[1].tolist(), strict=True)
    return dict(zip(keys, areas.tolist(), strict=True))
