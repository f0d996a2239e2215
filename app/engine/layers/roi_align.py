"""RoIAlign by gathering rows of a channels-last map: uses all cores, unlike torchvision's.

A bin's value is the mean of bilinear samples on a grid. Each sample reads four cells, neighbouring
samples mostly the same ones; the weights of a bin are the product of weights along y and along x,
so cells read several times are merged before anything is gathered.

M: boxes, C: channels, H, W: sides of the map, S: side of the output, G: samples along a bin's side,
T: cells along a bin's side
"""

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
    feature: Tensor, rois: Tensor, side: int, scale: float, sampling_ratio: int, *, aligned: bool
) -> Tensor:
    """torchvision's `roi_align` without gradients: (N, C, H, W), (M, 5) -> (M, C, S, S).

    `rois` are image index, x0, y0, x1, y1. The result lies in channels-last memory.
    """
    pooled = feature.new_empty((len(rois), side, side, feature.shape[1]))
    gather_into(
        pooled,
        torch.arange(len(rois), device=rois.device),
        feature,
        rois,
        scale,
        sampling_ratio,
        aligned=aligned,
    )
    return pooled.permute(0, 3, 1, 2)


def gather_into(
    pooled: Tensor,
    places: Tensor,
    feature: Tensor,
    rois: Tensor,
    scale: float,
    sampling_ratio: int,
    *,
    aligned: bool,
) -> None:
    """`gathered_roi_align` of rois (M, 5), put at `places` (M,) of `pooled` (M', S, S, C)."""
    if not len(rois):
        return
    _, channels, height, width = feature.shape
    side = pooled.shape[1]
    table = feature.permute(0, 2, 3, 1).reshape(-1, channels)
    flat = pooled.view(len(pooled), side * side, channels)
    rois = rois.float()
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    x = _axis(corners[:, 0], corners[:, 2], side, width, sampling_ratio, aligned=aligned)
    y = _axis(corners[:, 1], corners[:, 3], side, height, sampling_ratio, aligned=aligned)
    first_row = (rois[:, 0].to(torch.int32) * (height * width))[:, None, None]
    rows = y.cells * width + first_row
    # Boxes that read equally many cells go together: none is padded to the largest.
    kinds, kind_of = torch.unique(y.count * (x.cells.shape[2] + 1) + x.count, return_inverse=True)
    order = kind_of.argsort()
    sizes = torch.bincount(kind_of, minlength=len(kinds)).tolist()
    for kind, chosen in zip(kinds.tolist(), torch.split(order, sizes), strict=True):
        tall, wide = divmod(kind, x.cells.shape[2] + 1)
        step = max(1, _MAX_ROWS // max(side * side * tall * wide, 1))
        for part in torch.split(chosen, step):
            flat[places[part]] = _gather(
                table,
                (rows[part, :, :tall], y.weights[part, :, :tall]),
                (x.cells[part, :, :wide], x.weights[part, :, :wide]),
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
