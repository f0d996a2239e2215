"""Seeded labelled images and imperfect detections of them, without files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord

Scene = tuple[list[ImageRecord], list[Detections]]


def polygon_of(box: np.ndarray) -> list[np.ndarray]:
    """A diamond that touches the four sides of a box."""
    x0, y0, x1, y1 = box.astype(np.float64)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    return [np.array([cx, y0, x1, cy, cx, y1, x0, cy])]


def bitmap_of(box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels of the diamond's bounding box without its corners."""
    x0, y0, x1, y1 = box
    ys, xs = np.mgrid[:height, :width] + 0.5
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    rx, ry = max((x1 - x0) / 2, 0.5), max((y1 - y0) / 2, 0.5)
    return np.abs(xs - cx) / rx + np.abs(ys - cy) / ry <= 1.0


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """Build `num_images` records and detections that are shifted, missed and invented."""

    def build(
        num_images: int = 12,
        num_classes: int = 3,
        *,
        seed: int = 0,
        side: int = 160,
        masks: bool = False,
        num_keypoints: int = 0,
        crowds: bool = True,
    ) -> Scene:
        rng = np.random.default_rng(seed)
        records, detections = [], []
        for index in range(num_images):
            num = int(rng.integers(0, 7))
            corners = rng.uniform(0, side * 0.6, (num, 2))
            sides = rng.uniform(8, side * 0.4, (num, 2))
            boxes = np.concatenate([corners, corners + sides], 1).astype(np.float32)
            classes = rng.integers(0, num_classes, num)
            records.append(
                ImageRecord(
                    path=Path(f"{index}.jpg"),
                    height=side,
                    width=side,
                    boxes=boxes,
                    classes=classes,
                    image_id=f"image {index}",
                    crowd=(rng.uniform(size=num) < 0.15) if crowds else None,
                    segmentations=[polygon_of(b) for b in boxes] if masks else None,
                    keypoints=_keypoints(rng, boxes, num_keypoints, jitter=0.0),
                )
            )
            detections.append(_detect(rng, records[-1], num_classes, masks, num_keypoints))
        return records, detections

    return build


def _keypoints(rng, boxes, num_keypoints, jitter):
    if not num_keypoints:
        return None
    size = (len(boxes), num_keypoints, 2)
    points = boxes[:, None, :2] + (boxes[:, None, 2:] - boxes[:, None, :2]) * 0.5
    points = points + rng.normal(0, 4.0 + jitter, size)
    visible = rng.integers(0, 3, (len(boxes), num_keypoints, 1))
    return np.concatenate([points, visible], 2).astype(np.float32)


def _detect(rng, record, num_classes, masks, num_keypoints):
    found = rng.uniform(size=len(record)) < 0.85
    boxes = record.boxes[found] + rng.normal(0, 3, (int(found.sum()), 4)).astype(np.float32)
    classes = record.classes[found]
    num_extra = int(rng.integers(0, 4))
    corners = rng.uniform(0, 90, (num_extra, 2))
    extra = np.concatenate([corners, corners + rng.uniform(5, 60, (num_extra, 2))], 1)
    boxes = np.concatenate([boxes, extra]).astype(np.float32)
    classes = np.concatenate([classes, rng.integers(0, num_classes, num_extra)])
    # Two decimals: ties happen.
    scores = np.round(rng.uniform(0.05, 1, len(boxes)), 2).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    boxes, classes, scores = boxes[order], classes[order], scores[order]
    bits = None
    if masks:
        shapes = [bitmap_of(box, record.height, record.width) for box in boxes]
        bits = torch.from_numpy(np.array(shapes).reshape(-1, record.height, record.width))
    points = _keypoints(rng, boxes, num_keypoints, 2.0)
    return Detections(
        record.size,
        torch.from_numpy(boxes),
        torch.from_numpy(scores),
        torch.from_numpy(classes.astype(np.int64)),
        masks=bits,
        keypoints=None if points is None else torch.from_numpy(points),
    )
