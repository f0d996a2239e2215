import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from app.engine.layers.focal import FocalLoss


def focal_loss_of_classes(logits, classes, *, alpha, gamma):
    return FocalLoss(alpha=alpha, gamma=gamma)(logits, classes)


@pytest.mark.parametrize("alpha", [0.25, -1.0])
@pytest.mark.parametrize("gamma", [2.0, 1.5, 0.0])
def test_equals_the_loss_on_one_hot_targets(alpha, gamma):
    torch.manual_seed(0)
    classes = torch.tensor([0, 3, 2, -1, 3, 1, -1])
    logits = (torch.randn(7, 3) * 4).requires_grad_()
    loss = focal_loss_of_classes(logits, classes, alpha=alpha, gamma=gamma)
    (gradient,) = torch.autograd.grad(loss, logits)
    valid = classes >= 0
    targets = F.one_hot(classes[valid], 4)[:, :3].float()
    expected = sigmoid_focal_loss(logits[valid], targets, alpha, gamma, reduction="sum")
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-6)


def test_gradient_is_the_derivative():
    logits = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([0, 1, 2, -1, 2])

    def loss(x):
        # Single precision inside: compare with a coarse step.
        return focal_loss_of_classes(x, classes, alpha=0.25, gamma=2.0)

    assert torch.autograd.gradcheck(loss, logits, eps=1e-2, atol=2e-3, rtol=2e-2)


@pytest.mark.parametrize(
    ("logits", "classes"),
    [
        pytest.param(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), id="no anchors"),
        pytest.param(torch.zeros(2, 3), torch.tensor([-1, -1]), id="all left out"),
    ],
)
def test_nothing_to_learn_costs_nothing(logits, classes):
    assert focal_loss_of_classes(logits, classes, alpha=0.25, gamma=2.0) == 0


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = focal_loss_of_classes(logits, torch.tensor([1]), alpha=0.25, gamma=2.0)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_half_precision_logits_are_summed_in_single():
    logits = torch.zeros(100_000, 1, dtype=torch.bfloat16)
    loss = focal_loss_of_classes(logits, torch.ones(100_000).long(), alpha=-1.0, gamma=0.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(100_000 * 0.693147, rel=1e-4)
