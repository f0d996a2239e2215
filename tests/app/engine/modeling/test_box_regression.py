import pytest
import torch

from app.engine.modeling.box_regression import BoxCoder, BoxLoss, LinearBoxCoder


def random_boxes(count: int) -> torch.Tensor:
    corners = torch.rand(count, 2) * 100
    return torch.cat((corners, corners + 1 + torch.rand(count, 2) * 40), dim=1)


@pytest.mark.parametrize(
    "coder", [BoxCoder(), BoxCoder((5, 5, 10, 10))], ids=["unit weights", "weights"]
)
def test_decode_undoes_encode(coder):
    torch.manual_seed(0)
    boxes, gt_boxes = random_boxes(10), random_boxes(10)
    decoded = coder.decode(coder.encode(boxes, gt_boxes), boxes)
    torch.testing.assert_close(decoded, gt_boxes, rtol=1e-5, atol=1e-4)


def test_linear_decode_undoes_encode_where_the_center_is_inside():
    torch.manual_seed(0)
    boxes = random_boxes(10)
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    gt_boxes = torch.cat((center - torch.rand(10, 2) * 9, center + torch.rand(10, 2) * 9), dim=1)
    coder = LinearBoxCoder()
    decoded = coder.decode(coder.encode(boxes, gt_boxes), boxes)
    torch.testing.assert_close(decoded, gt_boxes, rtol=1e-5, atol=1e-4)


def test_every_class_has_its_own_columns():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    deltas = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.1, -0.1, 0.0, 0.0]])
    assert BoxCoder().decode(deltas, boxes).tolist() == [[0, 0, 10, 20, 1, -2, 11, 18]]


def test_growth_is_bounded_and_half_precision_decodes_in_float32():
    boxes = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    decoded = BoxCoder().decode(torch.full((1, 4), 30.0, dtype=torch.bfloat16), boxes)
    assert decoded.dtype == torch.float32
    assert (decoded[0, 2] - decoded[0, 0]).item() == pytest.approx(1000.0, rel=1e-5)


def test_no_boxes():
    nothing = torch.zeros(0, 4)
    for coder in (BoxCoder(), LinearBoxCoder()):
        assert coder.encode(nothing, nothing).shape == (0, 4)
        assert coder.decode(torch.zeros(0, 12), nothing).shape == (0, 12)
    for kind in ("smooth_l1", "giou", "diou", "ciou"):
        assert BoxLoss(kind)(BoxCoder(), nothing, nothing, nothing).item() == 0.0


@pytest.mark.parametrize("kind", ["smooth_l1", "giou", "diou", "ciou"])
def test_perfect_deltas_cost_nothing(kind):
    torch.manual_seed(0)
    boxes, gt_boxes, coder = random_boxes(5), random_boxes(5), BoxCoder((10, 10, 5, 5))
    perfect = coder.encode(boxes, gt_boxes)
    assert BoxLoss(kind)(coder, perfect, boxes, gt_boxes).item() == pytest.approx(0.0, abs=1e-4)
    assert BoxLoss(kind)(coder, perfect + 0.5, boxes, gt_boxes).item() > 0.1


@pytest.mark.parametrize("kind", ["smooth_l1", "giou", "diou", "ciou"])
def test_each_box_has_a_loss_of_its_own(kind):
    boxes, gt_boxes, coder, loss = random_boxes(5), random_boxes(5), BoxCoder(), BoxLoss(kind)
    deltas = torch.zeros(5, 4)
    each = loss.each(coder, deltas, boxes, gt_boxes)
    alone = loss.each(coder, deltas[2:3], boxes[2:3], gt_boxes[2:3])
    assert len(each) == 5
    assert torch.equal(each[2:3], alone)
