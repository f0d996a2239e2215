"""Merging of the boxes that are found in overlapping tiles; NumPy alone.

An object near a seam is seen by several tiles: whole by some, cut by others. Of each object one box
is kept, by these rules, in this order:

1. A box that touches a seam (an edge of its tile inside the photograph) shows a cut object. It is
   dropped if another tile shows all of it and is cut on fewer of its sides. So an object smaller
   than the overlap is judged by the tiles that hold it whole, and by no other.
2. A cut box that remains is dropped if it is the visible part of a whole box of another tile.
3. Cut boxes that remain belong to objects that no tile holds whole. Those which agree in the part
   that both tiles show are put together into the box around them, with the best of their scores.
4. Suppression by IoU within each class removes what several tiles found alike.

The number of detections is limited at the end. The result does not depend on anything but the
detections and their order.

N: detections of all tiles, M: objects of the photograph, P: pairs of detections
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.engine.structures.size import Size
from app.engine.structures.tiles import Tile, TileGrid
from app.engine.tiles.pairs import (
    Boxes,
    Indices,
    intersection,
    iou,
    kept_by_nms,
    overlapping_pairs,
    united_groups,
)

SEAM_MARGIN = 1.0
"""Pixels of the photograph: a box that ends so close to a seam touches it."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Found:
    """The detections of all tiles of one photograph, tile by tile, best first in each.

    boxes    (N, 4) x0 y0 x1 y1 in pixels of the photograph
    scores   (N,)
    classes  (N,)
    tile_of  (N,) index of the tile, or the number of tiles for the view of the whole picture
    """

    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: Indices
    tile_of: Indices


@dataclass(frozen=True, slots=True)
class Merged:
    """The objects of a photograph, best first.

    boxes  (M, 4) float32
    parts  for each object the indices of the detections it consists of, the best one first
    """

    boxes: npt.NDArray[np.float32]
    parts: list[Indices]

    @property
    def best(self) -> Indices:
        """(M,) index of the best detection of each object."""
        return np.array([part[0] for part in self.parts], dtype=np.int64)


def merge(
    found: Found, grid: TileGrid, size: Size, *, iou_threshold: float, limit: int | None
) -> Merged:
    """Return the objects of a photograph of `size` from the detections in the tiles of `grid`.

    iou_threshold  the detector's own threshold of non-maximum suppression
    limit          largest number of objects; None: no limit
    """
    views = _Views.of(grid, size)
    open_ends = views.seams(found.boxes, found.tile_of)
    left = ~views.is_seen_better(found.boxes, found.tile_of, open_ends)
    left &= ~views.is_small_in_whole(found, grid.overlap)
    is_cut = np.any(open_ends, axis=1)
    first, second = _pairs_of_tiles(found, np.flatnonzero(left))
    left[_explained(found, views, is_cut, first, second, iou_threshold)] = False
    continued = left[first] & left[second] & is_cut[first] & is_cut[second]
    first, second = first[continued], second[continued]
    agree = _agree(found, views, first, second, iou_threshold)
    labels = united_groups(len(found.boxes), first[agree], second[agree])
    groups = _groups(labels, found.scores, left)
    boxes = np.array([_around(found.boxes[group]) for group in groups]).reshape(-1, 4)
    return _best(found, boxes, groups, views, iou_threshold, limit)


@dataclass(frozen=True, slots=True)
class _Views:
    """The tiles as arrays, and after them, if the model looks at it, the whole picture.

    edges  (T, 4) x0 y0 x1 y1 of each view
    inner  (T, 4) whether each edge is a seam
    """

    edges: Boxes
    inner: Mask
    num_tiles: int

    @classmethod
    def of(cls, grid: TileGrid, size: Size) -> "_Views":
        tiles: Sequence[Tile] = grid.tiles(size)
        whole = [(0, 0, size[1], size[0])]
        corners = [(t.x0, t.y0, t.x1, t.y1) for t in tiles] + whole
        edges = np.array(corners, dtype=np.float64)
        return cls(edges, edges != edges[-1], len(tiles))

    def seams(self, boxes: Boxes, views: Indices) -> Mask:
        """Return on which sides boxes reach a seam of these views, or beyond: (N, 4)."""
        edges, inner = self.edges[views], self.inner[views]
        return inner & np.concatenate(
            (
                boxes[:, :2] <= edges[:, :2] + SEAM_MARGIN,
                boxes[:, 2:] >= edges[:, 2:] - SEAM_MARGIN,
            ),
            axis=1,
        )

    def is_seen_better(self, boxes: Boxes, views: Indices, open_ends: Mask) -> Mask:
        """Return whether another tile shows all of a box and cuts fewer of its sides: (N,).

        Each axis is judged alone: of the tiles in one row, and of those in one column.
        """
        better = np.zeros(len(boxes), dtype=np.bool_)
        for axis in (0, 1):
            sides = [axis, axis + 2]
            own = open_ends[:, sides]
            for start, stop in np.unique(self.edges[: self.num_tiles, sides], axis=0):
                view = int(np.flatnonzero((self.edges[:, sides] == (start, stop)).all(axis=1))[0])
                shows = (boxes[:, axis] >= start) & (boxes[:, axis + 2] <= stop)
                cuts = self.seams(boxes, np.full(len(boxes), view))[:, sides]
                better |= shows & (cuts <= own).all(axis=1) & (cuts < own).any(axis=1)
        return better

    def is_small_in_whole(self, found: Found, overlap: int) -> Mask:
        """Return which boxes of the whole picture a tile shows for certain: (N,)."""
        wh = found.boxes[:, 2:] - found.boxes[:, :2]
        small: Mask = (found.tile_of == self.num_tiles) & np.all(wh < overlap, axis=1)
        return small

    def within(self, boxes: Boxes, views: Indices) -> Boxes:
        """Return the parts of boxes inside these views; sides may be negative if there is none."""
        edges = self.edges[views]
        return np.concatenate(
            (np.maximum(boxes[:, :2], edges[:, :2]), np.minimum(boxes[:, 2:], edges[:, 2:])), axis=1
        )


def _pairs_of_tiles(found: Found, chosen: Indices) -> tuple[Indices, Indices]:
    """Return the pairs of `chosen` that overlap and are of one class and different tiles."""
    first, second = overlapping_pairs(found.boxes[chosen], found.classes[chosen])
    first, second = chosen[first], chosen[second]
    apart = found.tile_of[first] != found.tile_of[second]
    return first[apart], second[apart]


def _explained(
    found: Found, views: _Views, is_cut: Mask, first: Indices, second: Indices, threshold: float
) -> Indices:
    """Return the cut boxes that are the visible part of a box which another tile shows whole."""
    cut, whole = np.concatenate((first, second)), np.concatenate((second, first))
    fitting = is_cut[cut] & ~is_cut[whole]
    cut, whole = cut[fitting], whole[fitting]
    visible = views.within(found.boxes[whole], found.tile_of[cut])
    explained: Indices = cut[iou(found.boxes[cut], visible) >= threshold]
    return explained


def _agree(found: Found, views: _Views, first: Indices, second: Indices, threshold: float) -> Mask:
    """Return which pairs of cut boxes are alike in the part that both tiles show: (P,)."""
    one = views.within(found.boxes[first], found.tile_of[second])
    other = views.within(found.boxes[second], found.tile_of[first])
    is_shown = intersection(one, other) > 0
    alike: Mask = is_shown & (iou(one, other) >= threshold)
    return alike


def _groups(labels: Indices, scores: npt.NDArray[np.float32], left: Mask) -> list[Indices]:
    """Return the remaining detections of each label, best first in each."""
    chosen = np.flatnonzero(left)
    order = chosen[np.lexsort((chosen, -scores[chosen], labels[chosen]))]
    borders = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(order, borders) if len(order) else []


def _around(boxes: Boxes) -> Boxes:
    return np.concatenate((boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)))


def _best(
    found: Found,
    boxes: Boxes,
    groups: list[Indices],
    views: _Views,
    threshold: float,
    limit: int | None,
) -> Merged:
    """Suppress duplicates, those of the whole picture first, and keep the best `limit` objects."""
    best = np.array([group[0] for group in groups], dtype=np.int64)
    scores, classes = found.scores[best], found.classes[best]
    coarse = found.tile_of[best] == views.num_tiles
    first, second = overlapping_pairs(boxes, classes)
    alike = iou(boxes[first], boxes[second]) > threshold
    first, second = first[alike], second[alike]
    rank = np.empty(len(best), dtype=np.int64)
    rank[np.lexsort((best, -scores, coarse))] = np.arange(len(best))
    swap = rank[first] > rank[second]
    better, worse = np.where(swap, second, first), np.where(swap, first, second)
    kept = np.flatnonzero(kept_by_nms(len(best), better, worse))
    kept = kept[np.lexsort((best[kept], -scores[kept]))][:limit]
    return Merged(boxes[kept].astype(np.float32), [groups[index] for index in kept])
