"""Pairs of boxes that overlap, and the suppression of the worse ones; NumPy alone.

N: boxes, P: pairs
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_CHUNK = 1 << 20
"""About the largest number of pairs that are looked at together."""


def overlapping_pairs(boxes: Boxes, groups: Indices) -> tuple[Indices, Indices]:
    """Return the pairs of one group whose boxes overlap: (N, 4), (N,) -> (P,), (P,).

    A sweep along x compares a box with those that begin before it ends.
    """
    if not len(boxes):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    width = boxes[:, 2].max() - boxes[:, 0].min() + 1
    left, right = boxes[:, 0] + groups * width, boxes[:, 2] + groups * width
    order = np.argsort(left, kind="stable")
    stops = np.searchsorted(left[order], right[order], side="left")
    top, bottom = boxes[order, 1], boxes[order, 3]  # one axis at a time is faster than both
    firsts, seconds = [], []
    for first, second in _ranges(np.arange(1, len(order) + 1), stops):
        kept = (top[first] < bottom[second]) & (top[second] < bottom[first])
        firsts.append(order[first[kept]])
        seconds.append(order[second[kept]])
    return np.concatenate(firsts), np.concatenate(seconds)


def _ranges(starts: Indices, stops: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Yield (i, j) for every i and starts[i] <= j < stops[i], in chunks; at least one chunk."""
    counts = np.maximum(stops - starts, 0)
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        done = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, done + _CHUNK, side="right")), begin + 1)
        part = counts[begin:end]
        first = np.repeat(np.arange(begin, end), part)
        offsets = np.arange(len(first)) - np.repeat(np.cumsum(part) - part, part)
        yield first, starts[first] + offsets
        begin = end


def intersection(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    """Areas that are covered by both boxes of each pair: (P, 4), (P, 4) -> (P,)."""
    sides = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])
    common: npt.NDArray[np.float64] = np.maximum(sides, 0).prod(axis=1)
    return common


def iou(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of each pair: (P, 4), (P, 4) -> (P,); 0 for disjoint boxes."""
    common = intersection(boxes, others)
    union = area(boxes) + area(others) - common
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def area(boxes: Boxes) -> npt.NDArray[np.float64]:
    """(N, 4) -> (N,)."""
    areas: npt.NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas


def kept_by_nms(num_boxes: int, better: Indices, worse: Indices) -> npt.NDArray[np.bool_]:
    """Return which boxes greedy suppression keeps: (P,), (P,) -> (N,).

    A box of `worse` is dropped if its partner in `better` is kept. Each round decides at least the
    best open box, so the loop ends; usually it takes a few rounds.
    """
    kept = np.zeros(num_boxes, dtype=np.bool_)
    dropped = np.zeros(num_boxes, dtype=np.bool_)
    while not (kept | dropped).all():
        waits = np.zeros(num_boxes, dtype=np.bool_)
        waits[worse[~dropped[better]]] = True
        kept |= ~waits & ~dropped
        dropped[worse[kept[better]]] = True
    return kept


def united_groups(num_boxes: int, first: Indices, second: Indices) -> Indices:
    """Return for each box the smallest index that pairs connect it with: (P,), (P,) -> (N,)."""
    labels = np.arange(num_boxes)
    while True:
        before = labels.copy()
        lowest = np.minimum(labels[first], labels[second])
        np.minimum.at(labels, first, lowest)
        np.minimum.at(labels, second, lowest)
        labels = labels[labels]
        if (labels == before).all():
            return labels
