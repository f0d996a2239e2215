"""3x3 convolutions at few cells of a map, as a graph: exact; the other cells cost nothing.

A cell's value depends on its neighbourhood, which grows by one cell with each convolution in front
of it: each is a product of the neighbourhoods of the cells that the next one reads.

N: images, C: channels, S: cells, O: output channels
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvsAtCells(nn.Module):
    """Convolutions with ReLUs between them."""

    def __init__(self, convs: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        products = [_of_neighbourhoods(conv) for conv in convs]
        for product in products[:-1]:
            product.append(nn.ReLU())
        self.convs = nn.ModuleList(products)

    def forward(self, x: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W), (N, 1, H, W) 1 or 0 -> rows (S + 1, O), and which is whose (N, H, W).

        Row 0 is zero: that of all cells that are not wanted. At least one has to be.
        """
        masks = [wanted]
        for _ in self.convs:
            masks.insert(0, F.max_pool2d(masks[0], 3, stride=1, padding=1))
        width = x.shape[3] + 2
        steps = torch.arange(-1, 2)
        around = (steps[:, None] * width + steps).flatten()
        rows = x.permute(0, 2, 3, 1).flatten(0, 2)
        rows = rows.index_select(0, masks[0].flatten().nonzero()[:, 0])
        for conv, (read, written) in zip(self.convs, pairwise(masks), strict=True):
            index = _places(read)[_bordered(written).nonzero() + around]
            if torch.compiler.is_exporting():
                # torch 2.11 wants to know, to choose strides; the graph is right for one, too.
                torch._check(index.shape[0] > 1)
            patches = _with_zero(rows).index_select(0, index.flatten())
            patches = patches.view(1, index.shape[0], 1, 9 * rows.shape[1]).permute(0, 3, 1, 2)
            rows = conv(patches).permute(0, 2, 3, 1).flatten(0, 2)
        places = _places(wanted).view(len(x), -1, width)
        return _with_zero(rows), places[:, 1:-1, 1:-1]


def _of_neighbourhoods(conv: nn.Conv2d) -> nn.Sequential:
    """The same product, of 9 C values that lie in one cell in the order (3, 3, C)."""
    weight = conv.weight.permute(0, 2, 3, 1).reshape(conv.out_channels, -1, 1, 1)
    product = nn.Conv2d(weight.shape[1], conv.out_channels, 1, bias=conv.bias is not None)
    product.weight = nn.Parameter(weight, requires_grad=False)
    product.bias = conv.bias
    return nn.Sequential(product)


def _bordered(mask: Tensor) -> Tensor:
    """Flat, with a border of zeros around each image's cells."""
    return F.pad(mask, (1, 1, 1, 1)).flatten()


def _places(mask: Tensor) -> Tensor:
    """Numbers 1, 2, ... for the cells that are 1, with a border; flat."""
    flat = _bordered(mask)
    return (flat.cumsum(0) * flat).long()


def _with_zero(rows: Tensor) -> Tensor:
    """With a row of zeros in front, for neighbours off the map."""
    return F.pad(rows, (0, 0, 1, 0))
