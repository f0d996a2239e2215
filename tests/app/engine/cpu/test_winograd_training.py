"""Training by Winograd's tiles against training by direct sums."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from app.engine.cpu import winograd_training
from app.engine.cpu.prepare import prepare_for_inference, prepare_for_training
from app.engine.cpu.winograd_training import TiledConv2d, convolve_by_tiles
from app.engine.layers.conv import Conv2d
from app.engine.layers.norm import FrozenBatchNorm2d


def tensors(shape, channels=3, outputs=5, dtype=torch.float64):
    torch.manual_seed(0)
    count, height, width = shape
    x = torch.randn(count, channels, height, width, dtype=dtype).requires_grad_()
    weight = torch.randn(outputs, channels, 3, 3, dtype=dtype).requires_grad_()
    return x, weight, torch.randn(outputs, dtype=dtype).requires_grad_()


SHAPES = [
    pytest.param((1, 8, 12), id="whole tiles"),
    pytest.param((2, 9, 7), id="cut tiles"),
    pytest.param((2, 45, 90), id="several portions of several images"),
    pytest.param((30, 14, 14), id="small maps of many boxes"),
    pytest.param((1, 1, 1), id="one cell"),
    pytest.param((0, 8, 8), id="no boxes"),
]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_direct_sum(shape, with_bias):
    x, weight, bias = tensors(shape)
    inputs = (x, weight, bias) if with_bias else (x, weight)
    found = convolve_by_tiles(x, weight, bias if with_bias else None)
    expected = F.conv2d(x, weight, bias if with_bias else None, padding=1)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=1e-10)
    slope = torch.randn_like(expected)
    pairs = zip(
        torch.autograd.grad(found, inputs, slope),
        torch.autograd.grad(expected, inputs, slope),
        strict=True,
    )
    for actual, wanted in pairs:
        torch.testing.assert_close(actual, wanted, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_gets_no_gradient(frozen):
    inputs = tensors((1, 8, 8))
    inputs[frozen].requires_grad_(False)
    convolve_by_tiles(*inputs).sum().backward()
    assert [tensor.grad is None for tensor in inputs] == [i == frozen for i in range(3)]


def test_autocast_multiplies_in_half_precision_and_keeps_the_weights_finer():
    x, weight, bias = tensors((2, 40, 44), 64, 64, torch.float32)
    inputs = (x, weight, bias)
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve_by_tiles(*inputs)
    assert found.dtype == torch.bfloat16
    expected = F.conv2d(*inputs, padding=1)
    slope = torch.randn_like(expected)
    pairs = zip(
        (found, *torch.autograd.grad(found, inputs, slope.bfloat16())),
        (expected, *torch.autograd.grad(expected, inputs, slope)),
        strict=True,
    )
    for actual, wanted in pairs:
        error = (actual.float() - wanted).square().mean() / wanted.square().mean()
        assert error.sqrt() < 0.03
    assert torch.autograd.grad(convolve_by_tiles(*inputs).sum(), weight)[0].dtype == torch.float32


def test_the_same_bits_every_time():
    inputs = tensors((2, 45, 90), dtype=torch.float32)
    first, second = (
        torch.autograd.grad(convolve_by_tiles(*inputs).square().sum(), inputs) for _ in range(2)
    )
    assert all(bool((a == b).all()) for a, b in zip(first, second, strict=True))


def layers():
    torch.manual_seed(0)
    return nn.Sequential(
        Conv2d(128, 128, 3, padding=1, bias=False, norm=FrozenBatchNorm2d(128), activation=F.relu_),
        Conv2d(128, 8, 3, padding=1),
    )


def test_prepared_layers_learn_the_same(monkeypatch):
    direct, tiled = layers().train(), layers().train()
    assert isinstance(direct[0].norm, FrozenBatchNorm2d)
    for model in (direct, tiled):
        model[0].norm.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
    prepare_for_training(tiled)
    assert [type(layer) for layer in tiled] == [TiledConv2d, Conv2d]
    calls = []
    whole = winograd_training._convolved
    monkeypatch.setattr(winograd_training, "_convolved", lambda *a: calls.append(1) or whole(*a))
    x = torch.randn(2, 128, 40, 44)
    for model in (direct, tiled):
        model(x).square().mean().backward()
    assert len(calls) == 1  # x needs no gradient
    assert direct.state_dict().keys() == tiled.state_dict().keys()
    for wanted, found in zip(direct.parameters(), tiled.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-6)


def test_prepared_layers_evaluate_as_others_do():
    model = layers()
    prepare_for_training(model)
    x = torch.randn(1, 128, 40, 44)
    with torch.no_grad():
        expected = layers().eval()(x)
        assert bool((model.eval()(x) == expected).all())
        assert bool((deepcopy(model)(x) == expected).all())
        torch.testing.assert_close(prepare_for_inference(model)(x), expected, rtol=1e-4, atol=1e-4)


def test_small_maps_are_summed_directly():
    model = layers().train()
    prepare_for_training(model)
    x = torch.randn(1, 128, 8, 8)
    assert bool((model(x) == layers().train()(x)).all())
