"""Detected objects as plain arrays, small enough to keep for a whole data set.

R: detections of one image, G: labelled objects of one image
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from torch import Tensor

from app.engine.evaluation.evaluator import ByImage
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord
from app.engine.structures.run_lengths import Rle, encode_bitmaps, object_codes


@dataclass(frozen=True, slots=True)
class ImageInstances:
    """The R detections of one image in numpy.

    boxes      (R, 4) float32, x0 y0 x1 y1
    scores     (R,) float32
    classes    (R,) int64
    masks      R run-length codes, or None
    keypoints  (R, num_keypoints, 3) float32, or None
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    masks: list[Rle] | None = None
    keypoints: npt.NDArray[np.float32] | None = None

    @classmethod
    def pack(cls, detections: Detections) -> Self:
        """Copy to numpy; masks become run-length codes."""
        return cls(
            detections.boxes.detach().float().cpu().numpy(),
            detections.scores.detach().float().cpu().numpy(),
            detections.classes.detach().cpu().numpy().astype(np.int64),
            None if detections.masks is None else encode_masks(detections.masks),
            None
            if detections.keypoints is None
            else detections.keypoints.detach().float().cpu().numpy(),
        )

    def __len__(self) -> int:
        return len(self.scores)

    def best(self, number: int) -> Self:
        """Return the `number` highest scores, best first; equal scores keep their order."""
        return self.select(np.argsort(-self.scores, kind="mergesort")[:number])

    def select(self, index: npt.NDArray[np.int64]) -> Self:
        """The detections at `index`."""
        return type(self)(
            self.boxes[index],
            self.scores[index],
            self.classes[index],
            None if self.masks is None else [self.masks[i] for i in index],
            None if self.keypoints is None else self.keypoints[index],
        )


class InstanceStore(ByImage[ImageInstances]):
    """Keeps the detections of every evaluated image."""

    def add(self, record: ImageRecord, detections: Detections) -> None:
        """Keep one image's detections."""
        self.images[record.image_id] = ImageInstances.pack(detections)


def encode_masks(masks: Tensor) -> list[Rle]:
    """Run-length codes of R bitmaps: (R, H, W) bool -> R dicts with text counts."""
    return encode_bitmaps(masks.detach().cpu().numpy())


def box_iou(
    boxes: npt.NDArray[np.float32], gt_boxes: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Intersection over union of every pair: (R, 4), (G, 4) -> (R, G). 0 where boxes are apart."""
    intersection = _intersection(boxes, gt_boxes)
    union = box_area(boxes)[:, None] + box_area(gt_boxes)[None] - intersection
    return intersection / np.where(intersection > 0, union, 1.0)


def box_ioa(
    boxes: npt.NDArray[np.float32], regions: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Share of each box inside each region: (R, 4), (G, 4) -> (R, G). 0 where they are apart."""
    intersection = _intersection(boxes, regions)
    return intersection / np.where(intersection > 0, box_area(boxes)[:, None], 1.0)


def box_area(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Areas in square pixels: (R, 4) -> (R,)."""
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    return np.asarray(sides.prod(axis=1), dtype=np.float64)


def _intersection(
    boxes1: npt.NDArray[np.float32], boxes2: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    first, second = boxes1.astype(np.float64)[:, None], boxes2.astype(np.float64)[None]
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2), dtype=np.float64)


def ignored(record: ImageRecord) -> npt.NDArray[np.bool_]:
    """Return (G,) bool: whether each object is a crowd or difficult, which metrics ignore."""
    mask = np.zeros(len(record), dtype=bool)
    for flags in (record.crowd, record.difficult):
        if flags is not None:
            mask |= flags
    return mask


def object_areas(record: ImageRecord) -> npt.NDArray[np.float64]:
    """Return (G,) areas in pixels: those of `extra['areas']`, else of masks, else of boxes."""
    known = np.asarray(record.extra.get("areas", [np.nan] * len(record)), dtype=np.float64)
    missing = np.isnan(known)
    if not missing.any():
        return known
    areas = box_area(record.boxes)
    for i, code in enumerate(object_codes(record)):
        if code is not None:
            areas[i] = float(coco_mask.area(code))
    return np.where(missing, areas, known)
