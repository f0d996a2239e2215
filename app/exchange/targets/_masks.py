"""Masks as one polygon, and as a small bitmap."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from app.engine.structures.run_lengths import Rle

Points = npt.NDArray[np.float64]
_Point = tuple[int, int]


def cut_out(code: Rle) -> tuple[npt.NDArray[np.bool_], int, int]:
    """The pixels of a mask within the box around it, and the first column and row of that box."""
    bits = coco_mask.decode(code).astype(bool)
    rows, columns = np.flatnonzero(bits.any(axis=1)), np.flatnonzero(bits.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return bits[top : rows[-1] + 1, left : columns[-1] + 1], left, top


def outline(code: Rle) -> Points:
    """(N, 2) corners x, y of the polygon that runs along the edges of the mask's pixels.

    Parts and holes are joined to the first part by lines that are gone there and back, so that
    they enclose nothing. The mask has at least one pixel.
    """
    rings = _rings(coco_mask.decode(code).astype(bool))
    start = rings[0][0]
    points = [*rings[0], start]
    for ring in rings[1:]:
        points += [*ring, ring[0], start]
    # A single ring needs no return to its start.
    return np.array(rings[0] if len(rings) == 1 else points, dtype=np.float64)


def _rings(bits: npt.NDArray[np.bool_]) -> list[list[_Point]]:
    """The closed lines between set and other pixels, without the corners inside straight parts.

    Set pixels lie to the right of each line, seen in its direction.
    """
    ways = _ways(np.pad(bits, 1))
    rings: list[list[_Point]] = []
    while ways:
        start = next(iter(ways))
        ring: list[_Point] = []
        here, step = start, ways[start][0]
        while True:
            steps = ways[here]
            # Where two pixels touch at a corner, the line turns to the right: they stay apart.
            follow = step if here == start and not ring else _rightmost(steps, step)
            steps.remove(follow)
            if not steps:
                del ways[here]
            if follow != step or not ring:
                ring.append(here)
            here, step = (here[0] + follow[0], here[1] + follow[1]), follow
            if here == start:
                break
        rings.append(ring)
    return rings


def _rightmost(steps: list[_Point], step: _Point) -> _Point:
    right = (-step[1], step[0])
    return right if right in steps else steps[0]


def _ways(bits: npt.NDArray[np.bool_]) -> dict[_Point, list[_Point]]:
    """From each corner of the padded mask: the steps along edges, set pixels to the right."""
    inside = bits[1:-1, 1:-1]
    ways: dict[_Point, list[_Point]] = {}
    sides: list[tuple[Any, _Point, _Point]] = [
        (bits[:-2, 1:-1], (0, 0), (1, 0)),  # above: from the upper left corner to the right
        (bits[1:-1, 2:], (1, 0), (0, 1)),
        (bits[2:, 1:-1], (1, 1), (-1, 0)),
        (bits[1:-1, :-2], (0, 1), (0, -1)),
    ]
    for neighbour, corner, step in sides:
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            ways.setdefault((x + corner[0], y + corner[1]), []).append(step)
    return ways
