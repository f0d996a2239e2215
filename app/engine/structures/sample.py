"""One image on disk (`ImageRecord`) and one image ready for the network (`Sample`)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.engine.structures.boxes import Size
from app.engine.structures.deep import Deep
from app.engine.structures.moves import map_tensors, move_all
from app.engine.structures.targets import GroundTruth, Proposals

Segmentation = list[npt.NDArray[np.float64]] | dict[str, Any]
"""Polygons (x0 y0 x1 y1 ...), or COCO's run-length code `{"size": [h, w], "counts": ...}`."""


@dataclass(slots=True)
class ImageRecord:
    """Parsed annotation of one image of G objects; pixels stay on disk.

    path           image file
    height, width  displayed size (EXIF orientation applied) in pixels
    boxes          (G, 4) float32, x0 y0 x1 y1 in pixels of the displayed image
    classes        (G,) int64 in [0, K)
    crowd          (G,) bool: regions of many objects, left out of training
    difficult      (G,) bool: PASCAL VOC's mark; the evaluation ignores these objects
    segmentations  G entries (None where an object has none), or None
    keypoints      (G, num_keypoints, 3) float32, or None
    image_id       identifies the image in evaluation; unique in a data set
    extra          fields of some data sets: `areas` (NaN if the file has none),
                   `sem_seg_path`, `sem_seg_table` (class of each stored value, if they differ),
                   `pan_seg_path`, `segments_info`, `proposals` (arrays), LVIS's `neg_classes`, ...
    """

    path: Path
    height: int
    width: int
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    image_id: int | str
    crowd: npt.NDArray[np.bool_] | None = None
    difficult: npt.NDArray[np.bool_] | None = None
    segmentations: list[Segmentation | None] | None = None
    keypoints: npt.NDArray[np.float32] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.height, self.width

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image as the input of a model.

    image          (C, H, W) uint8 (or float32) in the channel order of INPUT.FORMAT, not normalised
    original_size  size on disk; detections are given in its pixels
    ground_truth   in the coordinates of `image`; None in inference
    proposals      precomputed proposals in the coordinates of `image`, or None
    semantic       (H, W) int64 class of every pixel, or None
    image_id       as in `ImageRecord`
    deep           value range of an image with more than 8 bits, or None
    """

    image: Tensor
    original_size: Size
    ground_truth: GroundTruth | None = None
    proposals: Proposals | None = None
    semantic: Tensor | None = None
    image_id: int | str = 0
    deep: Deep | None = None

    @property
    def size(self) -> Size:
        """(height, width) of the network input."""
        return self.image.shape[-2], self.image.shape[-1]

    def to(self, device: torch.device | str) -> Self:
        """The same sample with every tensor on `device`."""
        return move_all(self, device)

    def pinned(self) -> Self:
        """The same sample in pinned memory, from which copies to a GPU are asynchronous."""
        return map_tensors(self, Tensor.pin_memory)
