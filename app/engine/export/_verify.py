"""Compares the detections of an exported file with the engine's, object by object.

R: objects of one image, M: those of them that have a partner
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from app.engine.data.loading.image_reader import ResizedImage
from app.engine.modeling.detector import Detector
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample

Array = npt.NDArray[Any]

MAX_SCORE_DIFFERENCE = 3e-4
MAX_BOX_DIFFERENCE = 0.05
"""In pixels of the network's input; boxes of larger originals may differ by more."""
MIN_MATCHED = 0.98
MIN_MATCHED_GUESSES = 0.5
"""Minimum for objects of low scores, where rounding decides which of them are kept."""
MIN_MASK_IOU = 0.98


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two lists of detections agree.

    num_objects       sum over images of the length of the longer list
    num_matched       number of objects with a partner within the tolerances
    score_difference  largest difference among partners; likewise box_difference, in pixels
    mask_ious         sum of the IoUs of partners' masks; None without masks
    min_matched       the share of matched objects that is enough
    """

    num_images: int = 0
    num_objects: int = 0
    num_matched: int = 0
    score_difference: float = 0.0
    box_difference: float = 0.0
    mask_ious: float | None = None
    min_matched: float = MIN_MATCHED

    @property
    def matched(self) -> float:
        """Share of the objects that have a partner; 0 without objects, which prove nothing."""
        return self.num_matched / self.num_objects if self.num_objects else 0.0

    @property
    def mask_iou(self) -> float:
        """Mean IoU of partners' masks; 1 without masks."""
        if self.mask_ious is None or not self.num_matched:
            return 1.0
        return self.mask_ious / self.num_matched

    @property
    def is_enough(self) -> bool:
        """Whether the file may be used instead of the engine."""
        return self.matched >= self.min_matched and self.mask_iou >= MIN_MASK_IOU

    def figures(self) -> Mapping[str, float]:
        """Return the figures for the file's card."""
        masks = {} if self.mask_ious is None else {"mean_mask_iou": round(self.mask_iou, 5)}
        return {
            "images": self.num_images,
            "objects": self.num_objects,
            "matched": round(self.matched, 5),
            "max_score_difference": float(f"{self.score_difference:.3g}"),
            "max_box_difference": float(f"{self.box_difference:.3g}"),
            **masks,
        }


class BatchDetector(Protocol):
    """What runs an exported file."""

    def detect_batch(self, images: Sequence[ResizedImage]) -> list[ArrayDetections]:
        """Return the detections of images whose padded sizes are equal."""
        ...


def compare(
    model: Detector,
    predictor: BatchDetector,
    images: Sequence[ResizedImage],
    *,
    score_threshold: float,
    min_matched: float = MIN_MATCHED,
) -> Agreement:
    """Compare the engine's detections with those of the file, one image at a time.

    Both keep objects above `score_threshold`; `model` itself has no threshold.
    """
    total = Agreement(min_matched=min_matched)
    for image in images:
        (found,) = predictor.detect_batch([image])
        with torch.inference_mode():
            (expected,) = model.detect([_sample(image)])
        expected = expected.select(expected.scores > score_threshold)
        total = _add(total, expected.to("cpu"), found, _scale(image))
    return total


def _sample(image: ResizedImage) -> Sample:
    pixels = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)
    return Sample(pixels, image.original_size)


def _scale(image: ResizedImage) -> float:
    """Return the number of original pixels per pixel of the network's input."""
    return max(o / s for o, s in zip(image.original_size, image.size, strict=True))


def _add(total: Agreement, expected: Detections, found: ArrayDetections, scale: float) -> Agreement:
    rows, partners = _partners(expected, found, scale)
    scores_away = np.abs(expected.scores.numpy()[rows] - found.scores[partners])
    boxes_away = np.abs(expected.boxes.numpy()[rows] - found.boxes[partners]) / scale
    mask_ious = total.mask_ious
    if expected.masks is not None and found.masks is not None:
        ious = _mask_ious(expected.masks.numpy()[rows], found.masks[partners])
        mask_ious = (mask_ious or 0.0) + float(ious.sum())
    return Agreement(
        total.num_images + 1,
        total.num_objects + max(len(expected), len(found)),
        total.num_matched + len(rows),
        max(total.score_difference, float(scores_away.max(initial=0.0))),
        max(total.box_difference, float(boxes_away.max(initial=0.0))),
        mask_ious,
        total.min_matched,
    )


def _partners(
    expected: Detections, found: ArrayDetections, scale: float
) -> tuple[list[int], list[int]]:
    """Match objects one to one within the tolerances; return the M rows in both lists."""
    free = np.ones(len(found), dtype=bool)
    rows, partners = [], []
    objects = zip(
        expected.boxes.numpy(), expected.scores.numpy(), expected.classes.numpy(), strict=True
    )
    for row, (box, score, class_index) in enumerate(objects):
        away = np.abs(found.boxes - box).max(axis=1, initial=0.0) / scale
        fits = free & (found.classes == class_index) & (away <= MAX_BOX_DIFFERENCE)
        fits &= np.abs(found.scores - score) <= MAX_SCORE_DIFFERENCE
        if fits.any():
            partner = int(np.where(fits, away, np.inf).argmin())
            free[partner] = False
            rows.append(row)
            partners.append(partner)
    return rows, partners


def _mask_ious(expected: Array, found: Array) -> Array:
    """Return the IoUs of pairs of masks, (M, H, W) bool twice -> (M,); 1 if both are empty."""
    shared = (expected & found).sum(axis=(1, 2))
    together = (expected | found).sum(axis=(1, 2))
    ious: Array = np.where(together > 0, shared / np.maximum(together, 1), 1.0)
    return ious
