"""LabelMe: a JSON file for each image, with rectangles, or masks as small bitmaps.

A file names its image relative to itself if the image is at hand, so that LabelMe opens both.
The score stands in `description`, since LabelMe has no other place for it.
"""

import base64
import io
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.data.problems import Problems
from app.exchange.detected import DetectedImage, DetectedObject, DetectedSet
from app.exchange.targets._masks import cut_out
from app.exchange.targets._target import Target, label_file, size_of

VERSION = "5.5.0"
"""The version of LabelMe whose files these are; masks are known since 5.2."""


def write(found: DetectedSet, folder: Path, _: Problems) -> None:
    """See `Target`."""
    for image in found.images:
        file = label_file(image, folder, ".json")
        text = json.dumps(_content(image, file), indent=2, ensure_ascii=False)
        file.write_text(f"{text}\n", encoding="utf-8")


def _content(image: DetectedImage, file: Path) -> dict[str, Any]:
    height, width = size_of(image)
    beside = PurePosixPath(image.name).name
    return {
        "version": VERSION,
        "flags": {},
        "shapes": [_shape(each) for each in image.objects],
        "imagePath": os.path.relpath(image.file, file.parent) if image.file else beside,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _shape(found: DetectedObject) -> dict[str, Any]:
    x0, y0, x1, y1 = found.box
    shape: dict[str, Any] = {
        "label": found.class_name,
        "points": [[x0, y0], [x1, y1]],
        "group_id": None,
        "description": f"score {found.score:.3f}",
        "shape_type": "rectangle",
        "flags": {},
        "mask": None,
    }
    if found.mask is None:
        return shape
    bits, left, top = cut_out(found.mask)
    height, width = bits.shape
    # The corners of a mask are its first and its last pixel.
    corners = [[left, top], [left + width - 1, top + height - 1]]
    return shape | {"points": corners, "shape_type": "mask", "mask": _png(bits)}


def _png(bits: npt.NDArray[np.bool_]) -> str:
    content = io.BytesIO()
    Image.fromarray(bits).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode("ascii")


TARGET = Target(
    write=write,
    one_file_each=True,
    next_step="open the folder in LabelMe, or move its files beside their images",
)
