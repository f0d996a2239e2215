"""Cityscapes' two benchmarks by the definitions of its authors' scripts (arXiv 1604.01685, 4.3).

Instances are compared with the maps `*_gtFine_instanceIds.png`: ids from 1000 on are single
objects, smaller ids are groups of objects and everything else.
R: detections of an image, G: its labelled regions of classes with instances, C: classes
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.engine.data.datasets.cityscapes import CLASSES, GROUP_LIMIT, STUFF, VOID
from app.engine.data.images.reading import read_labels
from app.engine.evaluation.evaluator import ByImage, Results
from app.engine.evaluation.tables import per_class_table, small_table
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

IOU_THRESHOLDS = np.arange(0.5, 1.0, 0.05)
MIN_PIXELS = 100
"""Smaller objects do not count."""

CATEGORIES = {
    "flat": slice(0, 2),
    "construction": slice(2, 5),
    "object": slice(5, 8),
    "nature": slice(8, 10),
    "sky": slice(10, 11),
    "human": slice(11, 13),
    "vehicle": slice(13, 19),
}
"""Category -> its train ids."""

MEAN_PIXELS = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
"""Average size of an object in the data set; iIoU weighs every object as if it had this size."""

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Overlaps in pixels of the R detections of one image with its G regions.

    classes, scores, pixels, void  (R,); void: number of pixels in regions that are not evaluated
    gt_classes, gt_pixels, group   (G,)
    common                         (R, G)
    """

    classes: Integers
    scores: Reals
    pixels: Integers
    void: Integers
    gt_classes: Integers
    gt_pixels: Integers
    group: npt.NDArray[np.bool_]
    common: Integers


class CityscapesInstanceEvaluator(ByImage[Overlaps]):
    """`segm`: AP over IoU 0.5 .. 0.95, AP50, and AP of each class, 0..100; nan without objects."""

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Compare one image's masks with the map `extra["instance_ids_path"]`."""
        assert detections.masks is not None
        ids = read_labels(record.extra["instance_ids_path"]).astype(np.int64)
        self.images[record.image_id] = overlaps(ids, detections)

    def results(self) -> Results:
        """Return `segm`; log the tables."""
        images = list(self.images.values())
        ap = np.array(
            [
                [_average_precision(images, k, float(iou)) for iou in IOU_THRESHOLDS]
                for k in range(len(CLASSES))
            ]
        )
        results = {"AP": 100 * _mean(ap), "AP50": 100 * _mean(ap[:, 0])}
        logger.info("Evaluation results for segm: \n%s", small_table(results))
        by_class = dict(zip(CLASSES.values(), (100 * ap.mean(axis=1)).tolist(), strict=True))
        logger.info("Per-category segm AP: \n%s", per_class_table(by_class))
        return {"segm": results | {f"AP-{name}": value for name, value in by_class.items()}}


def overlaps(ids: Integers, detections: Detections) -> Overlaps:
    """Return the overlaps of masks (R, H, W) with the regions of a map of instance ids (H, W)."""
    known, index = np.unique(ids, return_inverse=True)
    label_ids = np.where(known >= GROUP_LIMIT, known // GROUP_LIMIT, known)
    judged = np.isin(label_ids, list(CLASSES))
    void = np.isin(known, list(VOID))
    assert detections.masks is not None
    masks = detections.masks.cpu().numpy().astype(bool)
    rows = [np.bincount(index.reshape(ids.shape)[mask], minlength=len(known)) for mask in masks]
    pixels = np.array(rows, dtype=np.int64).reshape(-1, len(known))
    seen = pixels.any(axis=1)
    pixels = pixels[seen]
    row_of = {label_id: k for k, label_id in enumerate(CLASSES)}
    return Overlaps(
        classes=detections.classes.cpu().numpy().astype(np.int64)[seen],
        scores=detections.scores.cpu().numpy().astype(np.float64)[seen],
        pixels=pixels.sum(axis=1),
        void=pixels[:, void].sum(axis=1),
        gt_classes=np.array([row_of[i] for i in label_ids[judged].tolist()], dtype=np.int64),
        gt_pixels=np.bincount(index.ravel(), minlength=len(known))[judged],
        group=known[judged] < GROUP_LIMIT,
        common=pixels[:, judged],
    )


def _average_precision(images: Sequence[Overlaps], k: int, iou: float) -> float:
    """Return the AP of one class at one threshold; nan if it has no labelled objects."""
    judged = [_judge(image, k, iou) for image in images]
    num_objects = sum(number for _, _, number in judged)
    if not num_objects:
        return float("nan")
    hits = np.array([score for found, _, _ in judged for score in found])
    false_alarms = np.array([score for _, wrong, _ in judged for score in wrong])
    return _area(hits, false_alarms, num_objects)


def _judge(image: Overlaps, k: int, iou: float) -> tuple[list[float], list[float], int]:
    """Return the scores of true and of false positives, and the number of objects that count."""
    of_class, of_gt = image.classes == k, image.gt_classes == k
    common = image.common[np.ix_(of_class, of_gt)]
    pixels, gt_pixels, group = image.pixels[of_class], image.gt_pixels[of_gt], image.group[of_gt]
    scores = image.scores[of_class]
    near = common > iou * (pixels[:, None] + gt_pixels - common)
    small = gt_pixels < MIN_PIXELS
    counts = ~group & ~small
    hits, false_alarms = list[float](), list[float]()
    for column in near[:, counts].T:
        on_object = sorted(scores[column].tolist(), reverse=True)
        hits += on_object[:1]
        false_alarms += on_object[1:]
    # Pixels over a small group are excused twice, as in the authors' scripts.
    excused = image.void[of_class] + common @ (group.astype(np.int64) + small)
    unmatched = ~near.any(axis=1) & (excused <= iou * pixels)
    return hits, false_alarms + scores[unmatched].tolist(), int(counts.sum())


def _area(hits: Reals, false_alarms: Reals, num_objects: int) -> float:
    """Return the area under the precision-recall curve by the trapezoidal rule of the scripts."""
    thresholds = np.unique(np.concatenate((hits, false_alarms)))
    tp = len(hits) - np.searchsorted(np.sort(hits), thresholds)
    fp = len(false_alarms) - np.searchsorted(np.sort(false_alarms), thresholds)
    precision = np.append(tp / np.maximum(tp + fp, 1), 1.0)
    recall = np.append(tp / num_objects, 0.0)
    around = np.concatenate((recall[:1], recall, [0.0]))
    return float(precision @ (around[:-2] - around[2:]) / 2)


class CityscapesSemanticEvaluator:
    """`sem_seg`: IoU of classes and of categories (`_sup`), and iIoU of those with instances.

    The maps `extra["sem_seg_path"]` hold train ids; iIoU also needs `extra["instance_ids_path"]`,
    and is nan without. 0..100
    """

    def __init__(self) -> None:
        # Rows: labelled; columns: predicted; the last ones: pixels of classes that do not count.
        self.confusion: Integers = np.zeros((len(STUFF) + 1, len(STUFF) + 1), dtype=np.int64)
        # Right and wrong pixels of objects by class and by category; objects have equal weights.
        self.weighted: Reals = np.zeros((2, 2, len(CLASSES)), dtype=np.float64)

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Count one image's pixels, and the correct pixels of each object."""
        assert detections.semantic is not None
        pred = detections.semantic.argmax(dim=0).cpu().numpy().astype(np.int64)
        pred = np.minimum(pred, len(STUFF))
        gt = np.minimum(read_labels(record.extra["sem_seg_path"]).astype(np.int64), len(STUFF))
        size = len(STUFF) + 1
        pairs = np.bincount((size * gt + pred).ravel(), minlength=size * size)
        self.confusion = self.confusion + pairs.reshape(size, size)
        if "instance_ids_path" in record.extra:
            ids = read_labels(record.extra["instance_ids_path"]).astype(np.int64)
            self._add_objects(pred, ids)

    def _add_objects(self, pred: Integers, ids: Integers) -> None:
        rows = {label_id: k for k, label_id in enumerate(CLASSES)}
        for instance in np.unique(ids[ids > GROUP_LIMIT]).tolist():
            k = rows.get(instance // GROUP_LIMIT)
            if k is None:
                continue
            name = CLASSES[instance // GROUP_LIMIT]
            found = pred[ids == instance]
            weight = MEAN_PIXELS[name] / len(found)
            train_id = STUFF.index(name)
            category = next(s for s in CATEGORIES.values() if s.start <= train_id < s.stop)
            right = (
                np.count_nonzero(found == train_id),
                np.count_nonzero((found >= category.start) & (found < category.stop)),
            )
            for level, number in enumerate(right):
                self.weighted[0, level, k] += weight * number
                self.weighted[1, level, k] += weight * (len(found) - number)

    def state(self) -> tuple[Integers, Reals]:
        """Return the counts for `merge` in another process."""
        return self.confusion, self.weighted

    def merge(self, states: Sequence[tuple[Integers, Reals]]) -> None:
        """Replace the counts by the sum over several processes."""
        self.confusion = sum((one for one, _ in states), start=np.zeros_like(self.confusion))
        self.weighted = sum((one for _, one in states), start=np.zeros_like(self.weighted))

    def results(self) -> Results:
        """Return `sem_seg`; nan for classes that do not occur."""
        columns = [slice(i, i + 1) for i in range(len(STUFF))]
        classes = dict(zip(STUFF, map(self._iou, columns), strict=True))
        categories = {name: self._iou(s) for name, s in CATEGORIES.items()}
        inside = [self._object_iou(0, columns[STUFF.index(name)]) for name in CLASSES.values()]
        around = [self._object_iou(1, CATEGORIES[name]) for name in ("human", "vehicle")]
        results = {
            "IoU": 100 * _mean(np.array(list(classes.values()))),
            "iIoU": 100 * _mean(np.array(inside)),
            "IoU_sup": 100 * _mean(np.array(list(categories.values()))),
            "iIoU_sup": 100 * _mean(np.array(around)),
        }
        logger.info("Evaluation results for sem_seg: \n%s", small_table(results))
        named = (classes | categories).items()
        return {"sem_seg": results | {f"IoU-{name}": 100 * value for name, value in named}}

    def _iou(self, part: slice) -> float:
        labelled = int(self.confusion[part].sum())
        return _share(int(self.confusion[part, part].sum()), labelled + self._false_alarms(part))

    def _object_iou(self, level: int, part: slice) -> float:
        if not self.weighted.any():
            return float("nan")
        rows = [k for k, name in enumerate(CLASSES.values()) if name in STUFF[part]]
        right, wrong = self.weighted[:, level, rows].sum(axis=1).tolist()
        return _share(right, right + wrong + self._false_alarms(part))

    def _false_alarms(self, part: slice) -> int:
        """Count pixels predicted as `part` that are labelled with another class that counts."""
        judged = self.confusion[:-1, part]
        return int(judged.sum() - self.confusion[part, part].sum())


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _mean(values: Reals) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
