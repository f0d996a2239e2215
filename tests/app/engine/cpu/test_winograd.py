"""Winograd's convolution against the direct one."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from app.engine.cpu import winograd_tiles, winograd_windows
from app.engine.cpu.winograd import WinogradConv2d, pays_off
from app.engine.layers.conv import Conv2d


def conv(in_channels=128, out_channels=130, **kwargs):
    torch.manual_seed(0)
    return Conv2d(in_channels, out_channels, 3, padding=1, **kwargs)


def by_tiles(layer, dtype=torch.float32):
    tiled = deepcopy(layer)
    tiled.__class__ = WinogradConv2d
    tiled.transform(dtype)
    return tiled


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 40, 44), id="whole tiles"),
        pytest.param((1, 41, 43), id="cut tiles"),
        pytest.param((9, 14, 14), id="small maps of many boxes"),
        pytest.param((20, 14, 14), id="small maps of many boxes, several portions"),
        pytest.param((30, 8, 7), id="small maps of whole and cut tiles"),
        pytest.param((2, 80, 90), id="several portions of several images"),
        pytest.param((2, 5, 7), id="too few tiles"),
        pytest.param((0, 14, 14), id="no boxes"),
    ],
)
def test_equals_the_direct_sum(shape, bias):
    count, height, width = shape
    layer = conv(bias=bias).requires_grad_(False)
    x = torch.randn(count, 128, height, width).relu_()
    torch.testing.assert_close(by_tiles(layer)(x), layer(x), atol=2e-5, rtol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("shape", "share"),
    [
        pytest.param((1, 66, 63), 0.004, id="few cells"),
        pytest.param((2, 66, 63), 0.02, id="several images and portions"),
        pytest.param((1, 66, 63), 1.0, id="all cells"),
        pytest.param((1, 66, 63), 0.0, id="no cells"),
    ],
)
def test_near_some_cells_it_equals_the_whole(shape, share, bias):
    layer = by_tiles(conv(bias=bias).requires_grad_(False))
    x = torch.randn(shape[0], 128, *shape[1:]).relu_()
    cells = torch.rand(shape) < share
    found, whole = layer.near(x, cells), layer(x)
    assert found.shape == whole.shape
    torch.testing.assert_close(
        found.permute(0, 2, 3, 1)[cells], whole.permute(0, 2, 3, 1)[cells], atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("shape", [(1, 192, 40, 44), (20, 192, 14, 14)], ids=str)
def test_half_precision_is_off_by_little(shape):
    layer = conv(shape[1], shape[1]).requires_grad_(False)
    x = torch.randn(shape).relu_()
    found = by_tiles(layer, torch.bfloat16)(x)
    assert found.dtype == torch.bfloat16
    expected = layer(x)
    error = (found.float() - expected).square().mean() / expected.square().mean()
    assert error.sqrt() < 0.02


@pytest.mark.parametrize(
    ("count", "height", "width"),
    [
        pytest.param(2, 279, 400, id="rows of maps"),
        pytest.param(40, 16, 7, id="maps that fill tiles"),
        pytest.param(100, 14, 14, id="maps of cut tiles"),
        pytest.param(5, 13, 38, id="maps of cut tiles, few at once"),
    ],
)
def test_portions_are_of_few_tiles_and_cover_all(count, height, width):
    covered = torch.zeros(count, height, dtype=torch.int64)
    for images, _, writes, window in winograd_windows.portions(count, height, width, most=152):
        covered[images, writes] += 1
        assert window.count * window.tiles[0] * window.tiles[1] <= 152
    assert bool((covered == 1).all())


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        pytest.param(conv(), True, id="wide enough"),
        pytest.param(conv(64), True, id="of a small model"),
        pytest.param(conv(63), False, id="narrow"),
        pytest.param(conv(256, 720), True, id="wide"),
        pytest.param(conv(512, 512), False, id="too wide"),
        pytest.param(conv(stride=2), False, id="strided"),
        pytest.param(conv(128, 128, groups=2), False, id="grouped"),
        pytest.param(nn.Conv2d(128, 128, 1), False, id="1x1"),
        pytest.param(nn.Conv2d(128, 128, 3), False, id="unpadded"),
        pytest.param(nn.Conv2d(128, 128, 3, padding="same"), False, id="padding by name"),
    ],
)
def test_what_gains(layer, expected):
    assert pays_off(layer) == expected


@pytest.mark.parametrize("matrix", [winograd_tiles.INPUT, winograd_tiles.OUTPUT])
def test_weights_of_transforms_are_exact_in_half_precision(matrix):
    exact = torch.tensor(matrix, dtype=torch.float64)
    assert torch.equal(exact.to(torch.bfloat16).double(), exact)
