"""RoIAlign by gathering rows of a channels-last map: uses all cores, unlike torchvision's.

A bin's value is the mean of bilinear samples on a grid. Each sample reads four cells, neighbouring
samples mostly the same ones; the weights of a bin are the product of weights along y and along x,
so cells read several times are merged before anything is gathered.

L: levels, M: boxes, N: images, C: channels, H, W: sides of the map, S: side of the output,
G: samples along a bin's side, T: cells along a bin's side
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Rows gathered at once, times channels: keeps index and weights small.
_MAX_ROWS = 4_000_000


@dataclass(frozen=True, slots=True)
class _Axis:
    """Cells that the bins read along one axis.

    cells    (M, S, T) int32, those beyond `count` repeat a valid one
    weights  (M, S, T) float32, zero beyond `count`
    count    (M,) int64, how many of the T are in use
    """

    cells: Tensor
    weights: Tensor
    count: Tensor


def gathered_roi_align(
    features: Sequence[Tensor],
    scales: Sequence[float],
    rois: Tensor,
    levels: Tensor,
    *,
    side: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """torchvision's `roi_align` without gradients, each box from the map of its level.

    L maps (N, C, H, W), L scales, boxes (M, 5) of image index, x0, y0, x1, y1, and their levels
    (M,) in [0, L) -> (M, C, S, S) in channels-last memory.
    """
    channels = features[0].shape[1]
    # Written in the order in which they are gathered, then put in place all at once.
    gathered = features[0].new_empty((len(rois), side * side, channels))
    places: list[Tensor] = []
    start = 0
    for level, (feature, scale) in enumerate(zip(features, scales, strict=True)):
        chosen = (levels == level).nonzero()[:, 0]
        if not len(chosen):
            continue
        pooled = _of_level(feature, rois[chosen].float(), scale, side, sampling_ratio, aligned)
        for index, bins in pooled:
            gathered[start : start + len(bins)] = bins
            start += len(bins)
            places.append(chosen[index])
    if places:
        gathered = gathered.index_select(0, torch.cat(places).argsort())
    return gathered.view(-1, side, side, channels).permute(0, 3, 1, 2)


def _of_level(
    feature: Tensor, rois: Tensor, scale: float, side: int, sampling_ratio: int, aligned: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices of boxes, and their bins (M, S * S, C): all boxes (M, 5), some at a time."""
    _, channels, height, width = feature.shape
    table = feature.permute(0, 2, 3, 1).reshape(-1, channels)
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    x = _axis(corners[:, 0], corners[:, 2], side, width, sampling_ratio, aligned=aligned)
    y = _axis(corners[:, 1], corners[:, 3], side, height, sampling_ratio, aligned=aligned)
    # Boxes that read equally many cells go together: none is padded to the largest.
    kind_of = y.count * (x.cells.shape[2] + 1) + x.count
    order = kind_of.argsort()
    kinds, sizes = torch.unique_consecutive(kind_of[order], return_counts=True)
    first_row = (rois[:, 0].to(torch.int32) * (height * width))[:, None, None]
    rows, row_weights = (y.cells * width + first_row)[order], y.weights[order]
    columns, column_weights = x.cells[order], x.weights[order]
    end = 0
    for kind, size in zip(kinds.tolist(), sizes.tolist(), strict=True):
        begin, end = end, end + size
        tall, wide = divmod(kind, x.cells.shape[2] + 1)
        step = max(1, _MAX_ROWS // max(side * side * tall * wide, 1))
        for start in range(begin, end, step):
            part = slice(start, min(start + step, end))
            yield (
                order[part],
                _gather(
                    table,
                    (rows[part, :, :tall], row_weights[part, :, :tall]),
                    (columns[part, :, :wide], column_weights[part, :, :wide]),
                ),
            )


def _gather(table: Tensor, y: tuple[Tensor, Tensor], x: tuple[Tensor, Tensor]) -> Tensor:
    """Weighted sums of rows (R, C): cells and weights (M, S, T) -> (M, S * S, C)."""
    boxes, side, tall = y[0].shape
    wide = x[0].shape[2]
    index = y[0][:, :, None, :, None] + x[0][:, None, :, None, :]
    weights = y[1][:, :, None, :, None] * x[1][:, None, :, None, :]
    sums = F.embedding_bag(
        index.view(-1, tall * wide),
        table,
        mode="sum",
        per_sample_weights=weights.view(-1, tall * wide).to(table.dtype),
    )
    return sums.view(boxes, side * side, -1)


def _axis(
    low: Tensor, high: Tensor, side: int, length: int, sampling_ratio: int, *, aligned: bool
) -> _Axis:
    """Bins between `low` and `high` (M,) on an axis of `length` cells."""
    extent = high - low
    if not aligned:
        extent = extent.clamp(min=1.0)
    bin_size = extent / side
    # Without a fixed ratio: about one sample for each cell.
    samples = torch.ceil(bin_size) if sampling_ratio <= 0 else torch.full_like(low, sampling_ratio)
    samples = samples.clamp(min=0)
    most = max(int(samples.max()), 1)
    steps = torch.arange(most, device=low.device, dtype=low.dtype)
    bins = torch.arange(side, device=low.device, dtype=low.dtype)
    spacing = bin_size / samples.clamp(min=1)
    starts = low[:, None] + bins * bin_size[:, None]
    place = starts[:, :, None] + ((steps + 0.5) * spacing[:, None])[:, None, :]
    counts = (steps < samples[:, None])[:, None, :] & (place >= -1.0) & (place <= length)
    share = counts / samples.clamp(min=1)[:, None, None]
    place = place.clamp(0, length - 1)
    before = place.floor()
    after_share = place - before
    before = before.to(torch.int64)
    after = (before + 1).clamp(max=length - 1)
    if bool((spacing > 1).any()):
        cells = torch.cat((before, after), dim=2)
        weights = torch.cat((share * (1 - after_share), share * after_share), dim=2)
        return _Axis(cells.int(), weights, torch.full_like(samples, 2 * most).long())
    # Samples lie less than a cell apart: n of them read n + 1 neighbouring cells at most.
    first = before[:, :, :1]
    weights = torch.zeros((*place.shape[:2], most + 1), device=low.device)
    weights.scatter_add_(2, before - first, share * (1 - after_share))
    weights.scatter_add_(2, after - first, share * after_share)
    cells = (first + torch.arange(most + 1, device=low.device)).clamp(max=length - 1)
    return _Axis(cells.int(), weights, samples.long() + 1)
