"""Parse the masks of COCO files: polygons in various nestings, and run-length codes."""

import math
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from app.engine.structures.record import Segmentation
from app.engine.structures.size import Size

Polygon = npt.NDArray[np.float64]


def parse_segmentation(value: Any, size: Size) -> Segmentation | None:
    """Parse polygons of three or more points, or an RLE of `size`; None for other values.

    A polygon is x0 y0 x1 y1 ..., or a list of x y pairs; a single polygon needs no outer list.
    """
    if isinstance(value, dict):
        return _parse_rle(value, size)
    if not isinstance(value, list) or not value:
        return None
    if len(value) == 1 and isinstance(value[0], dict):
        return _parse_rle(value[0], size)
    polygons = [polygon for polygon in map(_parse_polygon, _nested(value)) if polygon is not None]
    return polygons or None


def num_polygons(value: Any) -> int:
    """The number of polygons in a value for `parse_segmentation`; 1 for RLE."""
    return len(_nested(value)) if isinstance(value, list) and value else 1


def mask_box(mask: Segmentation) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 around a mask; zeros if the mask is empty."""
    if isinstance(mask, dict):
        x, y, width, height = coco_mask.toBbox(mask).tolist()
        return x, y, x + width, y + height
    points = np.concatenate(mask).reshape(-1, 2)
    x0, y0 = points.min(axis=0).tolist()
    x1, y1 = points.max(axis=0).tolist()
    return x0, y0, x1, y1


def _nested(value: list[Any]) -> list[Any]:
    """A list of polygons, each a flat list."""
    first = value[0]
    if not isinstance(first, list):
        return [value]  # x0 y0 x1 y1 ...
    if first and isinstance(first[0], list):
        return [_flat(polygon) for polygon in value]  # polygons of pairs
    if len(first) == 2 and len(value) > 2 and _is_pairs(value):
        return [_flat(value)]  # one polygon of pairs
    return value


def _is_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value)


def _flat(value: Any) -> Any:
    return list(chain.from_iterable(value)) if _is_pairs(value) else value


def _parse_polygon(value: Any) -> Polygon | None:
    try:
        polygon = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2:
        return None
    try:
        is_finite = math.isfinite(sum(value))  # the fastest check of all numbers
    except (TypeError, OverflowError):  # numbers written as texts
        is_finite = bool(np.isfinite(polygon).all())
    return polygon if is_finite else None


def _parse_rle(value: dict[str, Any], size: Size) -> dict[str, Any] | None:
    counts = value.get("counts")
    if _sides(value.get("size")) != size or not counts:
        return None
    height, width = size
    if isinstance(counts, list):
        runs = _runs(counts)
        # The C code does not check that the runs fill the image exactly.
        if runs is None or sum(runs) != height * width:
            return None
        code = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
        return {"size": [height, width], "counts": code["counts"]}
    if isinstance(counts, str):
        counts = counts.encode("ascii", errors="replace")
    is_whole = isinstance(counts, bytes) and _fills(counts, size)
    return {"size": [height, width], "counts": counts} if is_whole else None


def _sides(value: Any) -> Size | None:
    """(height, width) from numbers, or from texts such as "480.0"; None for other values."""
    try:
        height, width = (float(side) for side in value)
    except (TypeError, ValueError, OverflowError):
        return None
    is_whole = height.is_integer() and width.is_integer()
    return (int(height), int(width)) if is_whole else None


def _runs(counts: list[Any]) -> list[int] | None:
    """The runs as integers; None if one is no whole number of 0 or more."""
    if all(type(run) is int for run in counts):
        return counts if min(counts) >= 0 else None
    try:
        runs = [float(run) for run in counts]
    except (TypeError, ValueError, OverflowError):
        return None
    is_whole = all(run.is_integer() and run >= 0 for run in runs)
    return [int(run) for run in runs] if is_whole else None


def _fills(counts: bytes, size: Size) -> bool:
    """Whether compressed runs fill the image; decoding others would read foreign memory."""
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(counts) or not 48 <= counts[position] < 112 or shift > 60:
                return False
            code = counts[position] - 48
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            position, shift = position + 1, shift + 5
            if not more and code & 0x10:
                value |= -1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            return False
        runs.append(value)
    return sum(runs) == math.prod(size)
