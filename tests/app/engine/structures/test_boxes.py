"""Box geometry: detectron2's published numbers, and boxes without area or image."""

import pytest
import torch

from app.engine.structures import boxes as box_ops

UNIT = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
OTHERS = torch.tensor(
    [
        [0.0, 0.0, 1.0, 1.0],
        [0.0, 0.0, 0.5, 1.0],
        [0.0, 0.0, 1.0, 0.5],
        [0.0, 0.0, 0.5, 0.5],
        [0.5, 0.5, 1.0, 1.0],
        [0.5, 0.5, 1.5, 1.5],
    ]
)


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        pytest.param(box_ops.pairwise_iou, [1, 0.5, 0.5, 0.25, 0.25, 0.25 / 1.75], id="of union"),
        pytest.param(box_ops.pairwise_ioa, [1, 1, 1, 1, 1, 0.25], id="of the second's area"),
    ],
)
def test_published_overlaps(overlap, expected):
    torch.testing.assert_close(overlap(UNIT, OTHERS), torch.tensor([expected] * 2))


@pytest.mark.parametrize("overlap", [box_ops.pairwise_iou, box_ops.pairwise_ioa])
def test_overlaps_of_nothing(overlap):
    nothing = torch.zeros(0, 4)
    assert overlap(nothing, OTHERS).shape == (0, 6)
    assert overlap(OTHERS, nothing).shape == (6, 0)
    assert overlap(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0.0


def test_published_conversions():
    boxes = torch.tensor([[5.0, 5, 10, 10], [1, 1, 2, 3]])
    boxes_xywh = torch.tensor([[5.0, 5, 5, 5], [1, 1, 1, 2]])
    assert torch.equal(box_ops.box_to_box_xywh(boxes), boxes_xywh)
    assert torch.equal(box_ops.box_xywh_to_box(boxes_xywh), boxes)


def test_clipped_boxes_outside_are_empty():
    boxes = torch.tensor([[-5.0, 2, 30, 9], [25, 1, 40, 5], [3, -8, 6, -1]])
    clipped = box_ops.clip(boxes, (8, 20))
    assert clipped.tolist() == [[0, 2, 20, 8], [20, 1, 20, 5], [3, 0, 6, 0]]
    assert box_ops.nonempty(clipped).tolist() == [True, False, False]
    assert box_ops.nonempty(clipped, threshold=6.0).tolist() == [False, False, False]
