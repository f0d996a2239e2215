"""Select the records that a training run can learn from, and count the objects of each class."""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.engine.config import CfgNode
from app.engine.errors import DatasetError
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)


def usable_for_training(cfg: CfgNode, records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Remove images without objects to learn from, as configured; DatasetError if none is left."""
    kept = list(records)
    if not any(map(has_object, kept)) and not any("sem_seg_path" in r.extra for r in kept):
        kept = []
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS and any(map(has_object, kept)):
        kept = [record for record in kept if has_object(record)]
        _log_removed(len(records) - len(kept), "no usable object", len(kept))
    fewest = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE
    if cfg.MODEL.KEYPOINT_ON and fewest > 0:
        before = len(kept)
        kept = [record for record in kept if visible_keypoints(record) >= fewest]
        _log_removed(before - len(kept), f"fewer than {fewest} visible keypoints", len(kept))
    if cfg.MODEL.MASK_ON:
        _warn_of_missing_masks(kept)
    if not kept:
        raise DatasetError(
            f"nothing to train on: none of {len(records)} images is readable and has an object of"
            " the chosen classes; check the index, the annotations and the class names"
        )
    return kept


def visible_keypoints(record: ImageRecord) -> int:
    """Number of labelled keypoints (visibility above 0) of all objects."""
    return 0 if record.keypoints is None else int((record.keypoints[..., 2] > 0).sum())


def has_object(record: ImageRecord) -> bool:
    """Whether the image has an object to learn from; crowds are none."""
    return len(record) > 0 and (record.crowd is None or not bool(record.crowd.all()))


def _warn_of_missing_masks(records: Sequence[ImageRecord]) -> None:
    missing = 0
    for record in records:
        masks = record.segmentations or [None] * len(record)
        missing += sum(not mask for mask in masks)
    if missing:
        logger.warning("%d objects have no mask and are left out of training", missing)


def _log_removed(count: int, reason: str, left: int) -> None:
    if count:
        logger.info("left out %d images with %s; %d images remain", count, reason, left)


def count_classes(records: Sequence[ImageRecord], num_classes: int) -> npt.NDArray[np.int64]:
    """Count the objects of each class without crowds: (K,)."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for record in records:
        classes = record.classes if record.crowd is None else record.classes[~record.crowd]
        counts += np.bincount(classes, minlength=num_classes)[:num_classes]
    return counts


def count_images(records: Sequence[ImageRecord], num_classes: int) -> npt.NDArray[np.int64]:
    """Count the images with an object of each class, without crowds: (K,)."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for record in records:
        classes = record.classes if record.crowd is None else record.classes[~record.crowd]
        counts[np.unique(classes)] += 1
    return counts
