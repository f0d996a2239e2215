"""Convolutions at some cells against the same convolutions everywhere."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from app.engine.cpu.conv_cells import convs_at_cells, patches_of_cells, reach

CELLS = [
    pytest.param([0], id="corner"),
    pytest.param([0, 7, 29, 30, 47, 95], id="edges of two images"),
    pytest.param([], id="none"),
    pytest.param(list(range(96)), id="all"),
]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("cells", CELLS)
def test_equals_dense_convolutions_and_their_gradients(cells, depth):
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 3, 3, padding=1, dtype=torch.float64) for _ in range(depth)]
    x = torch.rand(2, 3, 6, 8, dtype=torch.float64, requires_grad=True)
    cells = torch.tensor(cells, dtype=torch.int64)
    found = convs_at_cells(convs, x, reach(cells, (2, 6, 8), depth))
    dense = x
    for number, conv in enumerate(convs):
        dense = conv(F.relu(dense) if number else dense)
    expected = dense.permute(0, 2, 3, 1).flatten(0, 2)[cells]
    torch.testing.assert_close(found, expected)
    slope = torch.rand(found.shape, dtype=torch.float64)
    inputs = [x, *(parameter for conv in convs for parameter in conv.parameters())]
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, slope), torch.autograd.grad(expected, inputs, slope)
    )


def test_neighbourhoods_end_at_the_edges_of_each_image():
    feature = torch.arange(1.0, 13.0).reshape(2, 1, 2, 3)
    patch = patches_of_cells(feature, torch.tensor([3, 8])).tolist()
    assert patch == [[0, 1, 2, 0, 4, 5, 0, 0, 0], [0, 0, 0, 8, 9, 0, 11, 12, 0]]
