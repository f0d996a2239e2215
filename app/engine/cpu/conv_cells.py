"""3x3 convolutions computed at some cells of a map only, for losses that need few cells.

Values and gradients are exact: a cell depends only on its neighbourhood, whose radius is the
number of convolutions.

N: images, C: channels, S: cells; a cell is an index in the order (N, H, W)
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def patches_of_cells(feature: Tensor, cells: Tensor) -> Tensor:
    """The 3x3 neighbourhoods of cells (S,), zero-padded: (N, C, H, W) -> (S, 9 * C)."""
    channels, height, width = feature.shape[1:]
    index, on_map = neighbours(cells, height, width)
    table = feature.permute(0, 2, 3, 1).reshape(-1, channels)
    found = table.index_select(0, index.masked_fill(~on_map, 0).flatten())
    return found.masked_fill(~on_map.flatten()[:, None], 0.0).view(-1, 9 * channels)


def neighbours(cells: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The 3x3 neighbours of cells (S,), and whether each is on the map: (S, 9), (S, 9) bool."""
    steps = torch.arange(-1, 2, device=cells.device)
    rows = (cells // width % height)[:, None] + steps
    columns = (cells % width)[:, None] + steps
    rows_on_map = ((rows >= 0) & (rows < height))[:, :, None]
    on_map = rows_on_map & ((columns >= 0) & (columns < width))[:, None, :]
    index = cells[:, None, None] + steps[:, None] * width + steps
    return index.flatten(1), on_map.flatten(1)


def reach(cells: Tensor, size: Sequence[int], depth: int) -> list[Tensor]:
    """The cells that each of `depth` convolutions needs to compute the final `cells` (S,).

    `size` is (N, H, W). Returns `depth` + 1 tensors of ascending indices, the input's first.
    """
    mask = torch.zeros(*size, device=cells.device)
    mask.view(-1)[cells] = 1.0
    masks = [mask]
    for _ in range(depth):
        masks.append(F.max_pool2d(masks[-1], 3, stride=1, padding=1))
    return [grown.flatten().nonzero()[:, 0] for grown in reversed(masks)]


def convs_at_cells(convs: Sequence[nn.Conv2d], x: Tensor, reached: Sequence[Tensor]) -> Tensor:
    """3x3 convolutions with ReLUs between them: (N, C, H, W) -> (S, C') at cells `reached[-1]`.

    `reached` is the result of `reach` with `depth` = number of convolutions.
    """
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, reached[0])
    for number, conv in enumerate(convs):
        if number:
            rows = F.relu_(rows)
        # Map each cell to its row. An additional last row is the zero padding.
        place = reached[0].new_zeros(batch * height * width)
        place[reached[number]] = torch.arange(len(rows), device=x.device)
        index, on_map = neighbours(reached[number + 1], height, width)
        index = place[index.masked_fill(~on_map, 0)].masked_fill(~on_map, len(rows))
        padded = torch.cat((rows, rows.new_zeros((1, rows.shape[1]))))
        patches = padded.index_select(0, index.flatten()).view(len(index), 9 * rows.shape[1])
        rows = F.linear(patches, conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias)
    return rows
