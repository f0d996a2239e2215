"""How a file's detections are compared with the engine's."""

import numpy as np
import pytest
import torch

from app.engine.export import _verify
from app.engine.predictor.array_detections import ArrayDetections
from app.engine.structures.detections import Detections

SIZE = (20, 20)
BOXES = np.array([[0, 0, 10, 10], [5, 5, 20, 20]], dtype=np.float32)


def masks_of(boxes):
    masks = np.zeros((len(boxes), *SIZE), dtype=np.bool_)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def engine(masks=None):
    return Detections(
        SIZE,
        torch.from_numpy(BOXES),
        torch.tensor([0.9, 0.8]),
        torch.tensor([0, 1]),
        masks=None if masks is None else torch.from_numpy(masks),
    )


def file(masks=None, boxes=BOXES, scores=(0.9, 0.8)):
    # In the other order: partners are sought, not taken row by row.
    return ArrayDetections(
        SIZE,
        boxes[::-1].copy(),
        np.array(scores[::-1], dtype=np.float32),
        np.array([1, 0]),
        None if masks is None else masks[::-1].copy(),
    )


def compared(expected, found):
    return _verify._add(_verify.Agreement(), expected, found, 1.0)


def test_equal_masks_agree():
    agreement = compared(engine(masks_of(BOXES)), file(masks_of(BOXES)))
    assert agreement.is_enough
    assert agreement.figures()["mean_mask_iou"] == 1.0


def test_equal_boxes_with_other_masks_are_not_enough():
    smaller = masks_of(BOXES)
    smaller[1, 5, 5:20] = False  # 14 of 15 rows are left
    agreement = compared(engine(masks_of(BOXES)), file(smaller))
    assert agreement.matched == 1.0
    assert agreement.mask_iou == pytest.approx((1 + 14 / 15) / 2)
    assert not agreement.is_enough


def test_without_masks_boxes_decide():
    agreement = compared(engine(), file(scores=(0.9, 0.7)))
    assert agreement.matched == 0.5
    assert "mean_mask_iou" not in agreement.figures()
    assert not agreement.is_enough
    assert compared(engine(), file()).is_enough


@pytest.mark.parametrize("with_masks", [False, True])
def test_nothing_found_shows_nothing(with_masks):
    empty = np.zeros((0, 4), dtype=np.float32)
    masks = masks_of(empty) if with_masks else None
    nothing = Detections.empty(SIZE)
    found = ArrayDetections(SIZE, empty, np.zeros(0, np.float32), np.zeros(0, np.int64), masks)
    agreement = compared(nothing, found)
    assert (agreement.num_images, agreement.matched, agreement.mask_iou) == (1, 0.0, 1.0)
    assert not agreement.is_enough
