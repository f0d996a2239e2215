"""Metrics of semantic segmentation: IoU and accuracy of pixels, and IoU near the borders.

C: classes; label C stands for pixels without a class
"""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from app.engine.data.loading.ground_truth import semantic_labels
from app.engine.evaluation.evaluator import Results
from app.engine.evaluation.tables import small_table
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

_BORDER_SHARE = 0.02  # width of a border / the image's diagonal
_MAX_BORDER_CLASSES = 254  # detectron2 computes borders in 8 bits


class SemanticEvaluator:
    """mIoU, fwIoU, mACC, pACC, and IoU, BoundaryIoU and ACC of each class, 0..100.

    ignore_label  value of the label maps for pixels that do not count
    """

    def __init__(self, class_names: Sequence[str], *, ignore_label: int = 255) -> None:
        self.class_names = list(class_names)
        self.ignore_label = ignore_label
        self.with_borders = len(self.class_names) <= _MAX_BORDER_CLASSES
        size = len(self.class_names) + 1
        self.counts: Counts = np.zeros((2, size, size), dtype=np.int64)

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Count one image's pixels by predicted and true class."""
        assert detections.semantic is not None
        pred = detections.semantic.argmax(dim=0).cpu().numpy().astype(np.int64)
        gt = np.array(semantic_labels(record), dtype=np.int64)
        gt[gt == self.ignore_label] = len(self.class_names)
        self.counts[0] += self._confusion(pred, gt)
        if self.with_borders:
            self.counts[1] += self._confusion(borders(pred), borders(gt))

    def state(self) -> Counts:
        """Return the counts for `merge` in another process."""
        return self.counts

    def merge(self, states: Sequence[Counts]) -> None:
        """Replace the counts by the sum over several processes."""
        self.counts = sum(states, start=np.zeros_like(self.counts))

    def results(self) -> Results:
        """Return `sem_seg`; nan for classes that do not occur."""
        tp, gt, pred = _marginals(self.counts[0])
        iou = np.where(gt > 0, _ratio(tp, gt + pred - tp), np.nan)
        accuracy = _ratio(tp, gt)
        results = {"mIoU": _mean(iou), "fwIoU": 100 * float(np.nansum(iou * gt / max(gt.sum(), 1)))}
        border_tp, border_gt, border_pred = _marginals(self.counts[1])
        border_iou = _ratio(border_tp, border_gt + border_pred - border_tp)
        for k, name in enumerate(self.class_names):
            results[f"IoU-{name}"] = 100 * float(iou[k])
            if self.with_borders:
                results[f"BoundaryIoU-{name}"] = 100 * float(border_iou[k])
                results[f"min(IoU, B-Iou)-{name}"] = 100 * float(min(iou[k], border_iou[k]))
        results["mACC"] = _mean(accuracy)
        results["pACC"] = 100 * float(tp.sum() / gt.sum()) if gt.sum() else float("nan")
        for k, name in enumerate(self.class_names):
            results[f"ACC-{name}"] = 100 * float(accuracy[k])
        shown = {key: value for key, value in results.items() if "-" not in key}
        logger.info("Evaluation results for sem_seg: \n%s", small_table(shown))
        return {"sem_seg": results}

    def _confusion(self, pred: Labels, gt: Labels) -> Counts:
        size = len(self.class_names) + 1
        pairs = np.bincount(size * pred.ravel() + gt.ravel(), minlength=size * size)
        return np.asarray(pairs.reshape(size, size), dtype=np.int64)


def borders(labels: Labels) -> Labels:
    """Subtract from labels their erosion, a minimum over a neighbourhood: (H, W) -> (H, W).

    This is detectron2's version of Boundary IoU (https://arxiv.org/abs/2103.16562), padded with 0.
    """
    height, width = labels.shape
    reach = max(1, round(_BORDER_SHARE * float(np.hypot(height, width))))
    padded = F.pad(torch.from_numpy(labels).float(), (1, 1, 1, 1))[None, None]
    side = 2 * reach + 1
    rows = -F.max_pool2d(-padded, (1, side), 1, (0, reach))
    eroded = -F.max_pool2d(-rows, (side, 1), 1, (reach, 0))
    difference: Labels = labels - eroded[0, 0, 1:-1, 1:-1].long().numpy()
    return difference


def _marginals(counts: Counts) -> tuple[Shares, Shares, Shares]:
    """Return the right, true and predicted pixels of each class: 3 x (C,)."""
    inner = counts[:-1, :-1].astype(np.float64)
    return counts.diagonal()[:-1].astype(np.float64), inner.sum(axis=0), inner.sum(axis=1)


def _ratio(part: Shares, whole: Shares) -> Shares:
    """Divide (C,) by (C,); nan where `whole` is 0."""
    shares = np.full(len(part), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def _mean(shares: Shares) -> float:
    return 100 * float(np.nanmean(shares)) if np.isfinite(shares).any() else float("nan")
