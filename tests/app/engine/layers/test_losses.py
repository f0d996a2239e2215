import pytest
import torch

from app.engine.layers.losses import (
    ciou_loss,
    diou_loss,
    giou_loss,
    smooth_l1_loss,
)

WHOLE = torch.tensor([-1.0, -1.0, 1.0, 1.0])
RIGHT_HALF = torch.tensor([0.0, -1.0, 1.0, 1.0])
CORNER = torch.tensor([0.0, 0.0, 1.0, 1.0])
NEXT_CORNER = torch.tensor([1.0, 1.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("loss", "boxes1", "boxes2", "expected"),
    [
        pytest.param(diou_loss, WHOLE, WHOLE, 0.0, id="diou of a box and itself"),
        pytest.param(diou_loss, WHOLE, RIGHT_HALF, 0.53125, id="diou of a box and its half"),
        pytest.param(diou_loss, CORNER, NEXT_CORNER, 1.25, id="diou of diagonal neighbours"),
        pytest.param(ciou_loss, WHOLE, WHOLE, 0.0, id="ciou of a box and itself"),
        pytest.param(ciou_loss, WHOLE, RIGHT_HALF, 0.5345, id="ciou of a box and its half"),
        pytest.param(ciou_loss, CORNER, NEXT_CORNER, 1.25, id="ciou of diagonal neighbours"),
        pytest.param(giou_loss, WHOLE, WHOLE, 0.0, id="giou of a box and itself"),
        pytest.param(giou_loss, WHOLE, RIGHT_HALF, 0.5, id="giou of a box and its half"),
        pytest.param(giou_loss, CORNER, NEXT_CORNER, 1.5, id="giou of diagonal neighbours"),
    ],
)
def test_iou_losses(loss, boxes1, boxes2, expected):
    assert loss(boxes1, boxes2).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(diou_loss, [0.53125, 1.25]), (ciou_loss, [0.5345, 1.25]), (giou_loss, [0.5, 1.5])],
)
def test_iou_losses_of_a_batch(loss, expected):
    boxes1, boxes2 = torch.stack((WHOLE, CORNER)), torch.stack((RIGHT_HALF, NEXT_CORNER))
    assert loss(boxes1, boxes2).tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("loss", [giou_loss, diou_loss, ciou_loss])
def test_iou_loss_of_no_boxes_is_zero_with_a_gradient(loss):
    boxes = torch.zeros((0, 4), requires_grad=True)
    value = loss(boxes, torch.zeros((0, 4))).sum()
    value.backward()
    assert value.item() == 0.0
    assert boxes.grad is not None


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        pytest.param(0.0, [2.0, 0.5, 0.0], id="no beta is L1"),
        pytest.param(1.0, [1.5, 0.125, 0.0], id="quadratic below one"),
        pytest.param(4.0, [0.5, 0.03125, 0.0], id="quadratic everywhere"),
    ],
)
def test_smooth_l1(beta, expected):
    loss = smooth_l1_loss(torch.tensor([2.0, -0.5, 1.0]), torch.tensor([0.0, 0.0, 1.0]), beta=beta)
    assert loss.tolist() == pytest.approx(expected)
