import pytest
import torch
from torch import nn

from app.engine.cpu.fold import fold_batch_norm
from app.engine.layers.conv import (
    Conv2d,
    SeparableConv2d,
    conv2d,
    init_kaiming,
    init_normal,
    init_xavier,
)
from app.engine.layers.norm import FrozenBatchNorm2d, get_norm


def _randomize(module: nn.Module) -> nn.Module:
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if name.endswith("num_batches_tracked"):
            continue
        with torch.no_grad():
            value.copy_(torch.rand_like(value) + 0.2)
    return module


def test_norm_and_activation_follow_the_convolution():
    conv = Conv2d(2, 3, 1, bias=False, norm=nn.BatchNorm2d(3), activation=torch.relu).eval()
    x = torch.randn(1, 2, 4, 4)
    expected = torch.relu(nn.functional.conv2d(x, conv.weight))
    torch.testing.assert_close(conv(x), expected / (1 + 1e-5) ** 0.5)
    assert sorted(conv.state_dict())[:2] == ["norm.bias", "norm.num_batches_tracked"]


@pytest.mark.parametrize("bias", [True, False])
def test_training_folds_a_frozen_norm_without_changing_output_or_gradient(bias):
    conv = _randomize(Conv2d(2, 3, 3, padding=1, bias=bias, norm=FrozenBatchNorm2d(3)))
    x = torch.randn(2, 2, 5, 5)
    outputs, gradients = [], []
    for training in (True, False):
        conv.train(training)
        conv.zero_grad()
        y = conv(x)
        y.square().sum().backward()
        outputs.append(y.detach())
        gradients.append(conv.weight.grad.clone())
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            lambda: nn.Sequential(Conv2d(3, 4, 3, norm=get_norm("FrozenBN", 4))), id="FrozenBN"
        ),
        pytest.param(lambda: nn.Sequential(Conv2d(3, 4, 3, norm=get_norm("BN", 4))), id="BN"),
        pytest.param(lambda: Conv2d(3, 4, 3, norm=get_norm("SyncBN", 4)), id="SyncBN at the top"),
        pytest.param(
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.BatchNorm2d(4), nn.ReLU6()),
            id="siblings",
        ),
        pytest.param(lambda: Conv2d(3, 32, 3, norm=get_norm("GN", 32)), id="nothing to fold"),
    ],
)
def test_a_folded_model_agrees(model):
    original = _randomize(model()).eval()
    before = {name: value.clone() for name, value in original.state_dict().items()}
    x = torch.randn(2, 3, 6, 6)
    folded = fold_batch_norm(original)
    torch.testing.assert_close(folded(x), original(x).detach(), rtol=2e-5, atol=2e-5)
    after = original.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_folding_leaves_no_batch_norm():
    folded = fold_batch_norm(
        nn.Sequential(
            Conv2d(3, 4, 1, norm=FrozenBatchNorm2d(4)), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        )
    )
    kinds = {type(module) for module in folded.modules()}
    assert not kinds & {FrozenBatchNorm2d, nn.BatchNorm2d}
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_initialisations():
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3)
    init_kaiming(conv)
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert conv.bias.abs().max() == 0
    init_xavier(conv)
    assert conv.weight.abs().max().item() == pytest.approx((3 / (64 * 9)) ** 0.5, rel=0.01)


def test_a_separable_convolution_is_the_product_of_its_two_parts():
    conv = SeparableConv2d(3, 5, 3, stride=2, padding=1)
    x = torch.randn(2, 3, 7, 9)
    kernel = conv.pointwise.weight * conv.depthwise.weight[:, 0]  # (5, 3, 1, 1) * (3, 3, 3)
    whole = nn.functional.conv2d(x, kernel, conv.pointwise.bias, stride=2, padding=1)
    torch.testing.assert_close(conv(x), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("separable", [False, True])
def test_both_kinds_of_convolution_scale_the_variance_alike(separable):
    torch.manual_seed(0)
    conv = conv2d(256, 256, 3, padding=1, separable=separable)
    init_normal(conv, 0.01)
    inner = conv(torch.randn(4, 256, 24, 24))[..., 1:-1, 1:-1]
    assert inner.std().item() == pytest.approx(0.01 * (256 * 9) ** 0.5, rel=0.1)
