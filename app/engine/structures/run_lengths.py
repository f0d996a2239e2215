"""Masks as COCO's run-length codes, for code that works without torch."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from app.engine.structures.record import ImageRecord

Rle = dict[str, Any]
"""`size` (height, width) and `counts`, a text."""


def encode_bitmaps(bitmaps: npt.NDArray[Any]) -> list[Rle]:
    """Run-length codes of R bitmaps: (R, H, W) bool or 0 and 1 -> R dicts with text counts."""
    codes = []
    for bitmap in bitmaps:
        code = coco_mask.encode(np.asfortranarray(bitmap, dtype=np.uint8))
        codes.append({"size": code["size"], "counts": code["counts"].decode("ascii")})
    return codes


def object_codes(record: ImageRecord) -> list[Rle | None]:
    """Return G run-length codes, None for objects without a mask."""
    if record.segmentations is None:
        return [None] * len(record)
    codes: list[Rle | None] = []
    for segmentation in record.segmentations:
        if segmentation is None:
            codes.append(None)
        elif isinstance(segmentation, dict):
            codes.append(_compressed(segmentation))
        else:
            polygons = [polygon.tolist() for polygon in segmentation]
            code = coco_mask.merge(coco_mask.frPyObjects(polygons, *record.size))
            codes.append(code)
    return codes


def _compressed(code: Rle) -> Rle:
    if isinstance(code["counts"], list):
        compressed: Rle = coco_mask.frPyObjects(code, *code["size"])
        return compressed
    return code
