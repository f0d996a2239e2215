"""Masks as COCO's run-length codes, for code that works without torch."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

Rle = dict[str, Any]
"""`size` (height, width) and `counts`, a text."""


def encode_bitmaps(bitmaps: npt.NDArray[Any]) -> list[Rle]:
    """Run-length codes of R bitmaps: (R, H, W) bool or 0 and 1 -> R dicts with text counts."""
    codes = []
    for bitmap in bitmaps:
        code = coco_mask.encode(np.asfortranarray(bitmap, dtype=np.uint8))
        codes.append({"size": code["size"], "counts": code["counts"].decode("ascii")})
    return codes
