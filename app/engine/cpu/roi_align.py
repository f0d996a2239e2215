"""RoIAlign by gathering rows of a channels-last map: it uses all cores, unlike torchvision's.

Gradients are deterministic: one thread adds the gradients of all bins to a row of the map, always
in the same order.

A bin's value is the mean of bilinear samples on a grid. Each sample reads four cells, and
neighbouring samples often read the same cells. The weights of a bin are the product of weights
along y and along x, so repeated cells are merged before the rows are gathered.

L: levels, M: boxes, N: images, C: channels, H, W: sides of the map, S: side of the output,
G: samples along a bin's side, T: cells along a bin's side
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from app.engine.layers.roi_pool import ROIPooler, assign_levels, with_image_index

# Largest number of rows gathered at once: it limits the memory of indices and weights.
_MAX_ROWS = 4_000_000


class GatheringROIPooler(ROIPooler):
    """A `ROIPooler` that gathers the cells of all boxes at once; RoIPool is not changed."""

    def forward(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Like `ROIPooler.forward`; the result is in channels-last memory."""
        if self.pooler_type == "ROIPool":
            return super().forward(features, boxes)
        rois = with_image_index(boxes)
        several = len(self.strides) > 1
        return gathered_roi_align(
            features,
            [1.0 / stride for stride in self.strides],
            rois,
            assign_levels(rois[:, 1:], self.strides) if several else rois.new_zeros(len(rois)),
            side=self.side,
            sampling_ratio=self.sampling_ratio,
            aligned=self.pooler_type == "ROIAlignV2",
        )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Cells that the bins read along one axis.

    cells    (M, S, T) int32; cells beyond `count` repeat a valid cell
    weights  (M, S, T) float32; 0 beyond `count`
    count    (M,) int64, the number of valid cells among the T
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
    """Like torchvision's `roi_align`, but crop each box from the map of its level.

    L maps (N, C, H, W), L scales, boxes (M, 5) of image index, x0, y0, x1, y1, and their levels
    (M,) in [0, L) -> (M, C, S, S) in channels-last memory.
    """
    chosen = [(levels == level).nonzero()[:, 0] for level in range(len(features))]
    by_level = [
        _taps(feature, rois[of_level].float(), scale, side, sampling_ratio, aligned)
        for feature, scale, of_level in zip(features, scales, chosen, strict=True)
    ]
    with_gradient = torch.is_grad_enabled() and any(f.requires_grad for f in features)
    gather = _gather_with_gradient if with_gradient else _gather
    bins = gather(features, by_level, chosen, (len(rois), side * side))
    return bins.view(-1, side, side, features[0].shape[1]).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class _Taps:
    """The cells that the bins of B boxes read; all bins read the same number of cells.

    boxes    (B,) int64 index of the boxes
    cells    (B * S * S, T * T') int32 row of the map's table
    weights  (B * S * S, T * T') float32
    """

    boxes: Tensor
    cells: Tensor
    weights: Tensor


def _gather(
    features: Sequence[Tensor],
    by_level: Sequence[Iterator[_Taps]],
    chosen: Sequence[Tensor],
    size: tuple[int, int],
) -> Tensor:
    """Compute all bins (M, S * S, C); `size` is (M, S * S)."""
    bins = features[0].new_empty((*size, features[0].shape[1]))
    for feature, level_taps, of_level in zip(features, by_level, chosen, strict=True):
        for taps in level_taps:
            sums = F.embedding_bag(
                taps.cells,
                _table(feature),
                mode="sum",
                per_sample_weights=taps.weights.to(feature.dtype),
            )
            bins.index_copy_(0, of_level[taps.boxes], sums.view(-1, *bins.shape[1:]))
    return bins


def _gather_with_gradient(
    features: Sequence[Tensor],
    by_level: Sequence[Iterator[_Taps]],
    chosen: Sequence[Tensor],
    size: tuple[int, int],
) -> Tensor:
    """Like `_gather`, in float32, with one call for each map, so that it gets one gradient."""
    bins: list[Tensor] = []
    order: list[Tensor] = []
    for feature, level_taps, of_level in zip(features, by_level, chosen, strict=True):
        table, parts = _table(feature).float(), list(level_taps)
        if not parts:
            bins.append(table[:0])  # every map must be part of the autograd graph
            continue
        lengths = torch.cat([t.cells.new_full((len(t.cells),), t.cells.shape[1]) for t in parts])
        sums = F.embedding_bag(
            torch.cat([taps.cells.flatten() for taps in parts]),
            table,
            lengths.cumsum(0, dtype=lengths.dtype) - lengths,
            mode="sum",
            per_sample_weights=torch.cat([taps.weights.flatten() for taps in parts]),
        )
        bins.append(sums)
        order += [of_level[taps.boxes] for taps in parts]
    gathered = torch.cat(bins).to(features[0].dtype).view(*size, features[0].shape[1])
    if not order:
        return gathered
    put_back: Tensor = _PutBack.apply(gathered, torch.cat(order))
    return put_back


class _PutBack(torch.autograd.Function):
    """Move row i of (M, ...) to place `order[i]`; `order` (M,) is a permutation."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return rows.index_select(0, order.argsort())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (order,) = ctx.saved_tensors
        return grads[0].index_select(0, order), None


def _table(feature: Tensor) -> Tensor:
    """(N, C, H, W) -> rows (N * H * W, C)."""
    return feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])


def _taps(
    feature: Tensor, rois: Tensor, scale: float, side: int, sampling_ratio: int, aligned: bool
) -> Iterator[_Taps]:
    """Yield the cells that boxes (M, 5) read from their map, for some boxes at a time."""
    if not len(rois):
        return
    height, width = feature.shape[2:]
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    x = _axis(corners[:, 0], corners[:, 2], side, width, sampling_ratio, aligned=aligned)
    y = _axis(corners[:, 1], corners[:, 3], side, height, sampling_ratio, aligned=aligned)
    # Group boxes that read the same number of cells, so that no box needs padding.
    kind_of = y.count * (x.cells.shape[2] + 1) + x.count
    order = kind_of.argsort(stable=True)
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
            yield _Taps(
                order[part],
                _outer(rows[part, :, :tall], columns[part, :, :wide], torch.add),
                _outer(row_weights[part, :, :tall], column_weights[part, :, :wide], torch.mul),
            )


def _outer(y: Tensor, x: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine all pairs along y and x: (B, S, T), (B, S, T') -> (B * S * S, T * T')."""
    pairs = combine(y[:, :, None, :, None], x[:, None, :, None, :])
    return pairs.reshape(-1, y.shape[2] * x.shape[2])


def _axis(
    low: Tensor, high: Tensor, side: int, length: int, sampling_ratio: int, *, aligned: bool
) -> _Axis:
    """Compute the bins between `low` and `high` (M,) on an axis of `length` cells."""
    extent = high - low
    if not aligned:
        extent = extent.clamp(min=1.0)
    bin_size = extent / side
    # Without a fixed ratio, take about one sample for each cell.
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
    # Samples are at most one cell apart, so n samples read at most n + 1 neighbouring cells.
    first = before[:, :, :1]
    weights = torch.zeros((*place.shape[:2], most + 1), device=low.device)
    weights.scatter_add_(2, before - first, share * (1 - after_share))
    weights.scatter_add_(2, after - first, share * after_share)
    cells = (first + torch.arange(most + 1, device=low.device)).clamp(max=length - 1)
    return _Axis(cells.int(), weights, samples.long() + 1)
