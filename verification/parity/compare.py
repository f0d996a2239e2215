"""How close two sets of outputs are, and whether that is close enough.

Tolerances are several times the difference of detectron2 from itself with another convolution
library (scores 6e-5, boxes 0.0054 px, at most 2 of 100 detections swap ranks).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SCORE, BOX, SHARE, LOSS, KEYPOINT, MASK_IOU, SEMANTIC = 3e-4, 0.05, 0.98, 2e-4, 1.0, 0.98, 0.999
GRADIENT = 1e-2

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, the largest differences, and the verdict."""

    name: str
    passed: bool
    largest: dict[str, float]

    def __str__(self) -> str:
        numbers = "  ".join(f"{key} {value:.3g}" for key, value in self.largest.items())
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}  {numbers}"


def compare_detections(
    name: str, expected: Mapping[str, Array], actual: Mapping[str, Array]
) -> Comparison:
    """Match by class and overlap, best score first; then compare boxes, scores and the rest.

    Both hold `boxes` (R, 4), `scores`, `classes` and, where the model has them, `keypoints`
    (R, k, 3), `masks` (R, H, W) bool, `semantic` (H, W) classes and `panoptic` (H, W) segments.
    """
    passed, largest = True, dict[str, float]()
    if "boxes" in expected:
        passed = _compare_boxes(expected, actual, largest)
    if "semantic" in expected:
        same = (expected["semantic"] == actual["semantic"])[expected["semantic_sure"]]
        largest["semantic_share"] = float(same.mean())
        passed &= largest["semantic_share"] >= SEMANTIC
    if "panoptic" in expected:
        same = _class_of_pixels(expected) == _class_of_pixels(actual)
        largest["panoptic_share"] = float(same.mean())
        passed &= largest["panoptic_share"] >= SHARE
    return Comparison(name, passed, largest)


def _compare_boxes(
    expected: Mapping[str, Array], actual: Mapping[str, Array], largest: dict[str, float]
) -> bool:
    pairs = _match(expected, actual)
    rows, columns = np.asarray(pairs, dtype=np.int64).reshape(-1, 2).T
    box = np.abs(expected["boxes"][rows] - actual["boxes"][columns]).max(axis=1, initial=0)
    score = np.abs(expected["scores"][rows] - actual["scores"][columns])
    good = (box <= BOX) & (score <= SCORE)
    number, found = len(expected["scores"]), len(actual["scores"])
    passed = good.sum() >= SHARE * number
    passed &= abs(found - number) <= max(1, round((1 - SHARE) * number))
    largest["matched"] = float(good.sum())
    largest["of"] = float(number)
    largest["score"] = float(score[good].max(initial=0))
    largest["box"] = float(box[good].max(initial=0))
    rows, columns = rows[good], columns[good]
    if "keypoints" in expected:
        away = np.abs(expected["keypoints"][rows] - actual["keypoints"][columns])[:, :, :2]
        near = away.max(axis=(1, 2), initial=0) <= KEYPOINT
        largest["keypoint_share"] = float(near.mean()) if len(near) else 1.0
        passed &= largest["keypoint_share"] >= SHARE
    if "masks" in expected:
        overlaps = [
            _overlap(expected["masks"][r], actual["masks"][c])
            for r, c in zip(rows, columns, strict=True)
        ]
        largest["mask_iou"] = float(np.mean(overlaps)) if overlaps else 1.0
        passed &= largest["mask_iou"] >= MASK_IOU
    return bool(passed)


def _class_of_pixels(segments: Mapping[str, Array]) -> Array:
    """Class of each pixel, things counted from 1000 on, 0 where there is no segment."""
    classes = segments["panoptic_classes"].astype(np.int64) + 1000 * segments["panoptic_things"]
    table: Array = np.concatenate(([0], classes))
    return table[segments["panoptic"].astype(np.int64)]


def compare_losses(
    name: str, expected: Mapping[str, float], actual: Mapping[str, float], *, step: int = 0
) -> Comparison:
    """Relative differences; losses under 1e-3 are measured against 1e-3.

    Random networks have large gradients, so rounding grows with each step: detectron2 with
    channels-last weights differs from itself by 2e-4, 7e-4 and 3e-2 after one, two and three steps.
    So the second loss may differ ten times as much, and of later ones only the size is judged.
    """
    tolerance = (LOSS, 10 * LOSS, 0.5)[min(step, 2)]
    off = {
        key: abs(actual.get(key, np.inf) - value) / max(abs(value), 1e-3)
        for key, value in expected.items()
    }
    passed = set(expected) == set(actual) and all(value <= tolerance for value in off.values())
    return Comparison(name, passed, off)


def compare_gradients(
    name: str,
    expected: Mapping[str, tuple[float, float]],
    actual: Mapping[str, tuple[float, float, int]],
) -> Comparison:
    """Relative differences of the norm and the sum of each parameter's gradient.

    A norm is compared relative to itself, a sum of n numbers relative to norm * sqrt(n), its
    largest value. Gradients five hundred times smaller than the largest are compared relative to
    that share of the largest, because they are the rest when large ones cancel.
    """
    least = 2e-3 * max((norm for norm, _ in expected.values()), default=0.0)
    norms, sums = [0.0], [0.0]
    for key in set(expected) & set(actual):
        (norm, total), (actual_norm, actual_total, n) = expected[key], actual[key]
        whole = max(norm, least)
        norms.append(abs(actual_norm - norm) / whole)
        sums.append(abs(actual_total - total) / (whole * n**0.5))
    largest = {"gradient_norm": max(norms), "gradient_sum": max(sums)}
    passed = set(expected) == set(actual) and max(largest.values()) <= GRADIENT
    return Comparison(name, passed, largest)


def _match(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> list[tuple[int, int]]:
    overlap = _pairwise_iou(expected["boxes"], actual["boxes"])
    overlap[expected["classes"][:, None] != actual["classes"]] = -1
    pairs = []
    for row in np.argsort(-expected["scores"], kind="stable"):
        if overlap.shape[1] and overlap[row].max() > 0.5:
            column = int(overlap[row].argmax())
            overlap[:, column] = -1
            pairs.append((int(row), column))
    return pairs


def _pairwise_iou(boxes1: Array, boxes2: Array) -> npt.NDArray[np.float64]:
    boxes1, boxes2 = boxes1.astype(np.float64), boxes2.astype(np.float64)
    low = np.maximum(boxes1[:, None, :2], boxes2[:, :2])
    high = np.minimum(boxes1[:, None, 2:], boxes2[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area1, area2 = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes1, boxes2))
    iou: npt.NDArray[np.float64] = shared / (area1[:, None] + area2 - shared + 1e-9)
    return iou


def _overlap(mask1: Array, mask2: Array) -> float:
    union = np.logical_or(mask1, mask2).sum()
    return float(np.logical_and(mask1, mask2).sum() / union) if union else 1.0
