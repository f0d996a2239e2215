"""One image on disk with its annotation (`ImageRecord`), for code that works without torch, too."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.structures.size import Size

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
