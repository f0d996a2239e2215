"""Collects what is found in the tiles of one photograph, and merges it; NumPy alone.

R: objects of a tile, M: objects of a photograph, H and W: height and width of the photograph
"""

import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.errors import DoesNotFitError
from app.engine.structures.size import Size
from app.engine.structures.tiles import Tile, TileGrid
from app.engine.tiles.merge import Found, Merged, merge
from common.host_limits import memory_limit

Mask = npt.NDArray[np.bool_]

MASKS_SHARE = 0.25
"""Largest share of the memory for the masks of one photograph; their copies need as much again."""


@dataclass(frozen=True, slots=True)
class MergeRule:
    """How boxes are merged.

    nms_thresh  the model's own threshold of non-maximum suppression
    limit       the model's largest number of detections in an image; None: no limit
    """

    nms_thresh: float = 0.5
    limit: int | None = 100


@dataclass(slots=True)
class Collector:
    """Detections of the views of a photograph, added view by view in the grid's order."""

    grid: TileGrid
    size: Size
    rule: MergeRule
    _boxes: list[npt.NDArray[np.float64]] = field(default_factory=list)
    _scores: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _classes: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _pieces: list[tuple[int, int, Mask]] = field(default_factory=list)
    _has_masks: bool = False

    @property
    def views(self) -> list[Tile]:
        """The tiles, and after them the whole picture if the model looks at it."""
        return views(self.grid, self.size)

    def add(
        self,
        view: Tile,
        boxes: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        classes: npt.NDArray[np.int64],
        masks: Mask | None = None,
    ) -> None:
        """Add the detections of the next view: (R, 4), (R,), (R,) and (R, height, width)."""
        corner = (view.x0, view.y0, view.x0, view.y0)
        self._boxes.append(boxes.astype(np.float64) + corner)
        self._scores.append(scores)
        self._classes.append(classes)
        if masks is not None:
            self._has_masks = True
            self._pieces += [
                _cut_out(mask, box, view) for mask, box in zip(masks, boxes.tolist(), strict=True)
            ]

    def merged(self) -> Merged:
        """Merge what was added."""
        counts = [len(scores) for scores in self._scores]
        found = Found(
            np.concatenate(self._boxes),
            np.concatenate(self._scores),
            np.concatenate(self._classes),
            np.repeat(np.arange(len(counts)), counts),
        )
        limit = self.rule.limit and self.grid.limit(self.rule.limit, self.size)
        return merge(found, self.grid, self.size, iou_threshold=self.rule.nms_thresh, limit=limit)

    def united(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], Mask | None]:
        """Return boxes (M, 4), scores (M,), classes (M,) and masks or None of the photograph."""
        merged = self.merged()
        scores, classes = np.concatenate(self._scores), np.concatenate(self._classes)
        return merged.boxes, scores[merged.best], classes[merged.best], self.masks(merged)

    def masks(self, merged: Merged) -> Mask | None:
        """Paste the masks of each object into the photograph: (M, H, W), or None without masks.

        Raises DoesNotFitError if memory is too small for them.
        """
        if not self._has_masks:
            return None
        _require_memory(len(merged.parts), self.size)
        pasted = np.zeros((len(merged.parts), *self.size), dtype=np.bool_)
        for image, parts in zip(pasted, merged.parts, strict=True):
            for part in parts:
                x0, y0, piece = self._pieces[part]
                image[y0 : y0 + piece.shape[0], x0 : x0 + piece.shape[1]] |= piece
        return pasted


def views(grid: TileGrid, size: Size) -> list[Tile]:
    """Return the tiles of a photograph, and the whole picture if the grid asks for it."""
    tiles = grid.tiles(size)
    return [*tiles, Tile(0, 0, size[1], size[0])] if grid.whole_image else tiles


def _cut_out(mask: Mask, box: list[float], view: Tile) -> tuple[int, int, Mask]:
    """Return a mask's part around its box, and the part's place in the photograph."""
    # A pasted mask reaches at most one pixel beyond its box.
    x0, y0 = (max(math.floor(edge) - 1, 0) for edge in box[:2])
    x1, y1 = (math.ceil(edge) + 1 for edge in box[2:])
    return view.x0 + x0, view.y0 + y0, mask[y0:y1, x0:x1].copy()


def _require_memory(num_masks: int, size: Size) -> None:
    memory = memory_limit() or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = num_masks * size[0] * size[1]
    if needed > MASKS_SHARE * memory:
        raise DoesNotFitError(
            f"the masks of {num_masks} objects in a photograph of {size[1]} x {size[0]} pixels need"
            f" {needed / 1e9:.1f} GB, more than a quarter of the memory; ask for boxes, raise the "
            "score threshold, or cut the photograph into files"
        )
