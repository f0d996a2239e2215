"""The smell of images that show nothing."""

import math
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.data.images.depth import Depth
from app.engine.data.images.depth_of_set import measured_depth
from app.engine.data.images.reading import read_image
from app.engine.data.smells.scent import Scent
from app.engine.errors import ImageError
from app.engine.structures.record import ImageRecord

_IMAGES_SEEN = 32
_BOXES_SEEN = 8  # in each image
_MIN_IMAGES = 4
_BLANK_RANGE = 8  # grey levels between the darkest and the brightest half percent of the pixels


def blank(scent: Scent) -> str | None:
    """Images without contrast."""
    step = max(len(scent.records) // _IMAGES_SEEN, 1)
    sample = list(islice(scent.records, 0, None, step))[:_IMAGES_SEEN]
    paths = [record.path for record in sample]
    # Images with more than 8 bits are judged by their own value range: a training logs its depth.
    depth = measured_depth(paths)
    ranges = [found for record in sample if (found := _grey_range(record, depth)) is not None]
    blank = sum(high - low < _BLANK_RANGE for low, high in ranges)
    if len(ranges) < _MIN_IMAGES or blank < 0.9 * len(ranges):
        return None
    low, high = np.median(np.array(ranges), axis=0)
    return (
        f"{blank} of {len(ranges)} images looked at show nothing: their grey values lie between"
        f" {low:g} and {high:g} of 255: they may be of more bits, or in a wrong folder; look at"
        " them, and list the right ones"
    )


def _grey_range(record: ImageRecord, depth: Depth) -> tuple[float, float] | None:
    """The darkest and the brightest grey value of an image; None if it cannot be read.

    They are percentiles, of the whole image or of an object's surroundings, whichever range is
    larger: an image may show nothing but small objects, such as stars.
    """
    try:
        grey = read_image(record.path, "L", depth)[:, :, 0]
    except ImageError:
        return None
    parts = [(grey, 0.5), *((part, 5.0) for part in _surroundings(grey, record.boxes))]
    ranges = [np.percentile(part, [outside, 100 - outside]) for part, outside in parts]
    low, high = max(ranges, key=lambda found: float(found[1] - found[0]))
    return float(low), float(high)


def _surroundings(grey: npt.NDArray[Any], boxes: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
    """The parts of an image around some of its boxes, twice as wide and high as the box."""
    parts = []
    for x0, y0, x1, y1 in boxes[:_BOXES_SEEN].tolist():
        right, down = max((x1 - x0) / 2, 1), max((y1 - y0) / 2, 1)
        rows = slice(max(int(y0 - down), 0), math.ceil(y1 + down))
        parts.append(grey[rows, max(int(x0 - right), 0) : math.ceil(x1 + right)])
    return parts
