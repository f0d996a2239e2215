"""Whether a file finds what the engine finds: on real images, object by object.

R: objects of one image
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from app.engine.modeling.detector import Detector
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.predictor.onnx_predictor import OnnxPredictor, ResizedImage
from app.engine.structures.detections import Detections
from app.engine.structures.sample import Sample

MAX_SCORE_DIFFERENCE = 3e-4
MAX_BOX_DIFFERENCE = 0.05
"""In pixels of the network's input; boxes of larger originals may differ by more."""
MIN_MATCHED = 0.98


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two lists of detections agree.

    num_objects       in the longer list of each image, summed up
    matched           share of them that has a partner within the tolerances
    score_difference  largest among partners; likewise box_difference, in pixels
    """

    num_images: int = 0
    num_objects: int = 0
    num_matched: int = 0
    score_difference: float = 0.0
    box_difference: float = 0.0

    @property
    def matched(self) -> float:
        """Share of the objects that have a partner; 1 where there are none."""
        return self.num_matched / self.num_objects if self.num_objects else 1.0

    def figures(self) -> Mapping[str, float]:
        """For the file's card."""
        return {
            "images": self.num_images,
            "objects": self.num_objects,
            "matched": round(self.matched, 5),
            "max_score_difference": float(f"{self.score_difference:.3g}"),
            "max_box_difference": float(f"{self.box_difference:.3g}"),
        }


def compare(model: Detector, predictor: OnnxPredictor, images: Sequence[ResizedImage]) -> Agreement:
    """The engine's detections of each image against those of the file, one image at a time."""
    total = Agreement()
    for image in images:
        (found,) = predictor.detect_batch([image])
        with torch.inference_mode():
            (expected,) = model.detect([_sample(image)])
        total = _add(total, expected.to("cpu"), found, _scale(image))
    return total


def _sample(image: ResizedImage) -> Sample:
    pixels = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)
    return Sample(pixels, image.original_size)


def _scale(image: ResizedImage) -> float:
    """Pixels of the original for one of the network's input."""
    return max(o / s for o, s in zip(image.original_size, image.size, strict=True))


def _add(total: Agreement, expected: Detections, found: ArrayDetections, scale: float) -> Agreement:
    scores, boxes = expected.scores.numpy(), expected.boxes.numpy()
    classes = expected.classes.numpy()
    free = np.ones(len(found), dtype=bool)
    matched, score_difference, box_difference = 0, total.score_difference, total.box_difference
    for box, score, class_index in zip(boxes, scores, classes, strict=True):
        away = np.abs(found.boxes - box).max(axis=1, initial=0.0) / scale
        score_away = np.abs(found.scores - score)
        fits = free & (found.classes == class_index) & (away <= MAX_BOX_DIFFERENCE)
        fits &= score_away <= MAX_SCORE_DIFFERENCE
        if fits.any():
            partner = int(np.where(fits, away, np.inf).argmin())
            free[partner] = False
            matched += 1
            score_difference = max(score_difference, float(score_away[partner]))
            box_difference = max(box_difference, float(away[partner]))
    return Agreement(
        total.num_images + 1,
        total.num_objects + max(len(expected), len(found)),
        total.num_matched + matched,
        score_difference,
        box_difference,
    )
