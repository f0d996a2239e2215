"""Packed convolutions: the same as plain ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from app.engine.cpu.packed_conv import PackedConv2d, can_pack
from app.engine.layers.conv import Conv2d
from app.engine.layers.norm import FrozenBatchNorm2d


@pytest.mark.parametrize(
    "conv",
    [
        pytest.param(Conv2d(6, 8, 3, padding=1, activation=F.relu_), id="relu in the same pass"),
        pytest.param(Conv2d(6, 8, 1, activation=torch.tanh), id="another activation"),
        pytest.param(nn.Conv2d(6, 6, 3, stride=2, groups=6, bias=False), id="depthwise"),
    ],
)
@pytest.mark.parametrize(
    "shape",
    [(1, 6, 40, 33), (2, 6, 7, 7), (0, 6, 9, 9)],
    ids=["large", "tiny", "no map"],
)
def test_it_is_the_plain_convolution(conv, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    with torch.no_grad():
        packed = PackedConv2d(conv, torch.float32)
        torch.testing.assert_close(packed(x), conv(x), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(packed(x), conv(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sides", [(40, 7, 40), (7, 40, 7)], ids=["large first", "tiny first"])
def test_maps_of_all_sizes_may_follow_each_other(sides):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 8, 3, padding=1)
    with torch.no_grad():
        packed = PackedConv2d(conv, torch.float32)
        for side in sides:
            x = torch.randn(1, 6, side, side)
            torch.testing.assert_close(packed(x), conv(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("conv", "expected"),
    [
        (nn.Conv2d(4, 4, 3), True),
        (Conv2d(4, 4, 3), True),
        (Conv2d(4, 4, 3, norm=FrozenBatchNorm2d(4)), False),
        (nn.Conv2d(4, 4, 3, padding="same"), False),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), False),
        (nn.Linear(4, 4), False),
    ],
)
def test_what_can_be_packed(conv, expected):
    assert can_pack(conv) is expected
