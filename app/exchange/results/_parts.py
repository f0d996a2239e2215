"""Masks and sizes in results, checked before anything is allocated for them."""

from collections.abc import Mapping
from typing import Any

from app.engine.data.formats._coco_masks import parse_segmentation
from app.engine.data.images.decoding import MAX_PIXELS
from app.engine.structures.run_lengths import Rle
from app.engine.structures.size import Size


def size_of(entry: Mapping[str, Any]) -> Size | None:
    """(height, width); None where infer could not read the image, which it writes as 0 x 0.

    Raises ValueError for a size that no image has.
    """
    height, width = int(entry.get("height") or 0), int(entry.get("width") or 0)
    if height * width > MAX_PIXELS:
        raise ValueError(f"an image of {height} x {width} pixels")
    return (height, width) if height > 0 and width > 0 else None


def mask_of(found: Mapping[str, Any], size: Size | None) -> Rle | None:
    """The run lengths of an object's mask; None if it has none.

    Raises ValueError if they do not fill the image of this size.
    """
    value = found.get("segmentation")
    if not value:
        return None
    mask = None if size is None else parse_segmentation(value, size)
    if not isinstance(mask, dict):
        raise ValueError("a mask whose run lengths do not fill its image")
    return {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
