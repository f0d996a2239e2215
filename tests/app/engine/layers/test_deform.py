import pytest
import torch
from torch import nn

from app.engine.layers.deform import DeformConv

# Published in detectron2's tests: ones as filter, every tap moved by half a cell.
EXPECTED = torch.tensor(
    [
        [30, 41.25, 48.75, 45, 28.75],
        [62.25, 81, 90, 80.25, 50.25],
        [99.75, 126, 135, 117.75, 72.75],
        [105, 131.25, 138.75, 120, 73.75],
        [71.75, 89.25, 93.75, 80.75, 49.5],
    ]
)


@pytest.mark.parametrize(
    ("mask", "share"),
    [
        pytest.param(None, 1.0, id="version 1"),
        pytest.param(torch.full((1, 9, 5, 5), 0.5), 0.5, id="version 2"),
    ],
)
def test_published_numbers(mask, share):
    conv = DeformConv(1, 1, 3, padding=1)
    nn.init.ones_(conv.weight)
    x = torch.arange(25.0).view(1, 1, 5, 5)
    y = conv(x, torch.full((1, 18, 5, 5), 0.5), mask)
    torch.testing.assert_close(y[0, 0].detach(), EXPECTED * share)


def test_zero_offsets_are_a_plain_convolution():
    conv = DeformConv(4, 6, 3, stride=2, padding=2, dilation=2, groups=2)
    x = torch.randn(2, 4, 9, 8)
    plain = nn.functional.conv2d(x, conv.weight, None, 2, 2, 2, 2)
    offset = torch.zeros(2, 18, *plain.shape[2:])
    torch.testing.assert_close(conv(x, offset), plain, rtol=1e-4, atol=1e-5)
