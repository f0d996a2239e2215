"""Exact 3x3 convolutions at selected cells of a feature map, as a graph; others are skipped.

A cell's value depends on a neighbourhood that grows by one cell with each convolution before it.
Each convolution is a product with the neighbourhoods of the cells that the next one reads.

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
        """(N, C, H, W), (N, 1, H, W) 1 or 0 -> rows (S + 1, O), and each cell's row (N, H, W).

        Row 0 is zero and belongs to all cells that are not wanted. At least one must be wanted.
        """
        pooled = [wanted]
        for _ in self.convs:
            pooled.insert(0, F.max_pool2d(pooled[0], 3, stride=1, padding=1))
        masks = [_bordered(mask) > 0 for mask in pooled]
        width = x.shape[3] + 2
        steps = torch.arange(-1, 2)
        around = (steps[:, None] * width + steps).flatten()
        rows = x.permute(0, 2, 3, 1).flatten(0, 2)
        rows = rows.index_select(0, (pooled[0] > 0).flatten().nonzero()[:, 0])
        for conv, (read, written) in zip(self.convs, pairwise(masks), strict=True):
            index = _places(read)[written.nonzero() + around]
            if torch.compiler.is_exporting():
                # torch 2.11 needs this to choose strides; the graph is also right for one cell.
                torch._check(index.shape[0] > 1)
            patches = _with_zero(rows).index_select(0, index.flatten())
            patches = patches.view(1, index.shape[0], 1, 9 * rows.shape[1]).permute(0, 3, 1, 2)
            rows = conv(patches).permute(0, 2, 3, 1).flatten(0, 2)
        places = _places(masks[-1]).view(len(x), -1, width)
        return _with_zero(rows), places[:, 1:-1, 1:-1]


def _of_neighbourhoods(conv: nn.Conv2d) -> nn.Sequential:
    """Return the convolution as a product of 9 C values of one cell in the order (3, 3, C)."""
    weight = conv.weight.permute(0, 2, 3, 1).reshape(conv.out_channels, -1, 1, 1)
    product = nn.Conv2d(weight.shape[1], conv.out_channels, 1, bias=conv.bias is not None)
    product.weight = nn.Parameter(weight, requires_grad=False)
    product.bias = conv.bias
    return nn.Sequential(product)


def _bordered(mask: Tensor) -> Tensor:
    """Pad each image's cells with a border of zeros and flatten."""
    return F.pad(mask, (1, 1, 1, 1)).flatten()


def _places(mask: Tensor) -> Tensor:
    """Number the cells that are True by 1, 2, ..., in a flat mask; integers, see `_indices`."""
    ones = mask.to(torch.int64)
    return ones.cumsum(0) * ones


def _with_zero(rows: Tensor) -> Tensor:
    """Prepend a row of zeros, for neighbours outside the map."""
    return F.pad(rows, (0, 0, 1, 0))
