"""Average recall of class-agnostic proposals.

G: labelled objects, P: proposals of one image
"""

import logging
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.engine.evaluation.evaluator import Results
from app.engine.evaluation.instances import box_iou, ignored, object_areas
from app.engine.evaluation.tables import small_table
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

LIMITS = (100, 1000)
_AREAS = {
    "": (0.0, 1e10),
    "s": (0.0, 32.0**2),
    "m": (32.0**2, 96.0**2),
    "l": (96.0**2, 1e10),
}
_THRESHOLDS = np.arange(0.5, 0.95 + 1e-5, 0.05, dtype=np.float32)

Coverage = dict[str, list[npt.NDArray[np.float32]]]


class ProposalEvaluator:
    """AR@100, ARs@100, ..., ARl@1000 as in detectron2's `box_proposals`; crowds do not count."""

    def __init__(self) -> None:
        self.coverage: Coverage = {f"AR{a}@{n}": [] for n in LIMITS for a in _AREAS}

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Add the IoU of each object of one image with its proposal."""
        counts = ~ignored(record)
        gt_boxes, areas = record.boxes[counts], object_areas(record)[counts]
        order = detections.scores.argsort(descending=True, stable=True)
        boxes = detections.boxes[order].detach().float().cpu().numpy()
        for limit in LIMITS:
            for suffix, (low, high) in _AREAS.items():
                chosen = gt_boxes[(areas >= low) & (areas <= high)]
                best = coverage(boxes[:limit], chosen)
                self.coverage[f"AR{suffix}@{limit}"].append(best)

    def state(self) -> Coverage:
        """Return the IoUs for `merge` in another process."""
        return self.coverage

    def merge(self, states: Sequence[Coverage]) -> None:
        """Unite the IoUs of several processes."""
        self.coverage = {
            key: [part for state in states for part in state[key]] for key in self.coverage
        }

    def results(self) -> Results:
        """Return the recall averaged over IoU thresholds 0.5 .. 0.95; nan without objects."""
        results = {key: _average_recall(parts) for key, parts in self.coverage.items()}
        logger.info("Proposal metrics: \n%s", small_table(results))
        return {"box_proposals": results}


def coverage(
    boxes: npt.NDArray[np.float32], gt_boxes: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Pair objects with proposals greedily, one to one; return IoUs: (P, 4), (G, 4) -> (G,)."""
    best = np.zeros(len(gt_boxes), dtype=np.float32)
    if len(boxes) == 0 or len(gt_boxes) == 0:
        return best
    iou = box_iou(boxes, gt_boxes)
    for i in range(min(iou.shape)):
        row, column = np.unravel_index(int(iou.argmax()), iou.shape)
        best[i] = iou[row, column]
        iou[row, :] = iou[:, column] = -1
    return best


def _average_recall(parts: Sequence[npt.NDArray[np.float32]]) -> float:
    overlaps = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    if overlaps.size == 0:
        return math.nan
    return 100 * float((overlaps[None] >= _THRESHOLDS[:, None]).mean())
