"""Instance masks as polygons or bitmaps, as the data set has them.

G: number of instances. Polygon coordinates are continuous pixels, as boxes.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from app.engine.structures.moves import move, move_all

Polygon = npt.NDArray[np.float64]
"""x0 y0 x1 y1 ... of one closed ring, at least three points."""


class Masks(Protocol):
    """G instance masks of one image."""

    def __len__(self) -> int: ...

    def select(self, index: Tensor) -> Self:
        """The masks at `index` ((M,) int64, or (G,) bool)."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """The same masks on another device."""
        ...

    def crop_and_resize(self, boxes: Tensor, side: int, index: Tensor | None = None) -> Tensor:
        """Crop the i-th mask to the i-th box and resize it: (G, 4) -> (G, side, side) bool.

        With `index` (M,) int64 the mask at `index[i]` is cropped to the i-th of M boxes.
        """
        ...

    def nonempty(self) -> Tensor:
        """(G,) bool: whether each mask covers any pixel."""
        ...

    def tight_boxes(self) -> Tensor:
        """Smallest boxes around the masks: (G, 4); zeros for an empty mask."""
        ...


def _rows(index: Tensor) -> list[int]:
    rows = index.nonzero()[:, 0] if index.dtype == torch.bool else index
    return [int(i) for i in rows.tolist()]  # one transfer from an accelerator, not one per row


def rasterize(polygons: list[Polygon], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Pixels covered by the union of polygons, by COCO's rule: (height, width) bool."""
    if not polygons:
        return np.zeros((height, width), dtype=bool)
    codes = coco_mask.frPyObjects([p.tolist() for p in polygons], height, width)
    return np.asarray(coco_mask.decode(coco_mask.merge(codes)), dtype=bool)


@dataclass(frozen=True, slots=True)
class PolygonMasks:
    """One list of polygons for each instance, always on the CPU."""

    polygons: list[list[Polygon]]

    def __len__(self) -> int:
        return len(self.polygons)

    def select(self, index: Tensor) -> Self:
        """The masks at `index`."""
        return type(self)([self.polygons[i] for i in _rows(index)])

    def to(self, device: torch.device | str) -> Self:
        """Returns itself, because polygons have no device."""
        return self

    def crop_and_resize(self, boxes: Tensor, side: int, index: Tensor | None = None) -> Tensor:
        """Move polygons into the box, scale to `side` and rasterise, as detectron2 does."""
        chosen = self if index is None else self.select(index)
        targets = [
            _polygons_in_box(polygons, box, side)
            for polygons, box in zip(chosen.polygons, boxes.detach().cpu().numpy(), strict=True)
        ]
        if not targets:
            return torch.zeros((0, side, side), dtype=torch.bool, device=boxes.device)
        return move(torch.from_numpy(np.stack(targets)), boxes.device)

    def nonempty(self) -> Tensor:
        """(G,) bool."""
        return torch.tensor([len(p) > 0 for p in self.polygons], dtype=torch.bool)

    def tight_boxes(self) -> Tensor:
        """(G, 4)."""
        boxes = np.zeros((len(self.polygons), 4), dtype=np.float32)
        for row, polygons in enumerate(self.polygons):
            if polygons:
                points = np.concatenate([p.reshape(-1, 2) for p in polygons])
                boxes[row] = [*points.min(axis=0), *points.max(axis=0)]
        return torch.from_numpy(boxes)


def _polygons_in_box(
    polygons: list[Polygon], box: npt.NDArray[np.float32], side: int
) -> npt.NDArray[np.bool_]:
    # As in detectron2, boxes thinner than 0.1 px are scaled like boxes of 0.1 px, and the ratio is
    # float32: else points halfway between two pixels would be rasterised differently.
    ratio_x, ratio_y = np.float32(side) / np.maximum(box[2:] - box[:2], np.float32(0.1))
    moved = []
    for polygon in polygons:
        shifted = polygon.copy()
        shifted[0::2] = (shifted[0::2] - box[0]) * ratio_x
        shifted[1::2] = (shifted[1::2] - box[1]) * ratio_y
        moved.append(shifted)
    return rasterize(moved, side, side)


@dataclass(frozen=True, slots=True)
class BitMasks:
    """One bitmap for each instance: (G, H, W) bool."""

    bits: Tensor

    def __len__(self) -> int:
        return self.bits.shape[0]

    def select(self, index: Tensor) -> Self:
        """The masks at `index`."""
        return type(self)(self.bits[index.to(self.bits.device)])

    def to(self, device: torch.device | str) -> Self:
        """The same masks on another device."""
        return move_all(self, device)

    def crop_and_resize(self, boxes: Tensor, side: int, index: Tensor | None = None) -> Tensor:
        """Aligned RoIAlign of the bitmap with a threshold of 0.5, as in detectron2."""
        from torchvision.ops import roi_align  # slow to import

        bits = move(self.bits, boxes.device).float()
        # Many boxes may share a mask: RoIAlign takes its index, which needs no copies.
        rows = torch.arange(len(self), device=boxes.device) if index is None else index
        rois = torch.cat((rows.to(boxes.device)[:, None], boxes), dim=1)
        pooled: Tensor = roi_align(bits[:, None], rois.float(), (side, side), 1.0, 0, True)
        return pooled[:, 0] >= 0.5

    def nonempty(self) -> Tensor:
        """(G,) bool."""
        return self.bits.flatten(1).any(dim=1)

    def tight_boxes(self) -> Tensor:
        """(G, 4). The maxima are the edges after the last covered pixels."""
        boxes = torch.zeros((len(self), 4), dtype=torch.float32)
        columns, rows = self.bits.any(dim=1), self.bits.any(dim=2)
        for i in range(len(self)):
            x, y = columns[i].nonzero()[:, 0], rows[i].nonzero()[:, 0]
            if len(x) and len(y):
                boxes[i] = torch.stack((x[0], y[0], x[-1] + 1, y[-1] + 1)).float().cpu()
        return boxes
