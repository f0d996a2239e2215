"""Make `ImageRecord`s from parsed objects, with the checks that all annotation formats share."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.engine.data.formats._reading import Reading
from app.engine.data.images.headers import Header, image_header
from app.engine.data.problems import Effect, Problems
from app.engine.errors import ImageError
from app.engine.structures.record import ImageRecord, Segmentation
from app.engine.structures.size import Size

Box = tuple[float, float, float, float]
"""x0 y0 x1 y1 in pixels."""

_THREADS = 16
_ROUNDING = 0.01  # pixels; the rounding error of shares with few decimals
_MIN_SIDE = 1.0 - _ROUNDING  # pixels; the least width and height of a box after clipping

NO_IMAGE = "unreadable image (left out)"
INVERTED = "box that ends before it begins (its corners put in order)"
ONE_PIXEL = "box one pixel wide or high (a click?)"
SHARED = "annotation file with objects that is listed for several images (used for each)"
CLIPPED = "box partly outside its image (clipped)"


@dataclass(frozen=True, slots=True)
class ParsedObject:
    """One annotated object before any check.

    box        x0 y0 x1 y1 in pixels, not inclusive; may be inverted, outside or NaN
    area       area in the file, in pixels; NaN if there is none
    keypoints  (num_keypoints, 3), or None
    """

    class_id: int
    box: Box
    crowd: bool = False
    difficult: bool = False
    segmentation: Segmentation | None = None
    area: float = math.nan
    keypoints: npt.NDArray[np.float32] | None = None


def edges(corners: Box, *, inclusive: bool) -> Box:
    """Corners in a file -> edges of the box; inverted corners stay inverted.

    inclusive  whether the larger number of an axis is the last pixel of the object
    """
    if not inclusive:
        return corners
    x0, y0, x1, y1 = corners
    x0, x1 = (x0 + 1, x1) if x1 < x0 else (x0, x1 + 1)
    y0, y1 = (y0 + 1, y1) if y1 < y0 else (y0, y1 + 1)
    return x0, y0, x1, y1


def enclosing(box: Box, angle: float) -> Box:
    """The upright box around a box that is rotated by `angle` radians about its centre."""
    x0, y0, x1, y1 = box
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    width, height = abs(x1 - x0), abs(y1 - y0)
    half_x, half_y = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half_x, y - half_y, x + half_x, y + half_y


def readable_pairs(
    pairs: Sequence[tuple[Path, Path]], problems: Problems
) -> list[tuple[Path, Path, Header]]:
    """The pairs whose image can be opened, with its header; each image once."""
    unique: dict[Path, Path] = {}
    for image, annotation in pairs:
        if image in unique:
            problems.add("image listed twice (first entry kept)", str(image), Effect.LEFT_OUT)
        else:
            unique[image] = annotation
    found = []
    for (image, annotation), header in zip(unique.items(), read_headers(list(unique)), strict=True):
        if isinstance(header, ImageError):
            problems.add(NO_IMAGE, str(header), Effect.BROKEN)
        else:
            found.append((image, annotation, header))
    return found


def tell_shared(annotations: Iterable[Path], problems: Problems) -> None:
    """Count the images whose annotation file is also that of an earlier image.

    annotations  files of the images with objects; images without objects may share a file
    """
    for path, count in Counter(annotations).items():
        for _ in range(count - 1):
            problems.add(SHARED, f"{path}: {count} images")


def read_headers(paths: Sequence[Path]) -> Iterable[Header | ImageError]:
    """Read the header of each image; threads hide the latency of network file systems."""
    if len(paths) < 2 * _THREADS:
        return map(_header_or_error, paths)
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(_header_or_error, paths, chunksize=64))


def _header_or_error(path: Path) -> Header | ImageError:
    try:
        return image_header(path, whole=True)
    except ImageError as error:
        return error


def build_record(
    image: Path,
    size: Size,
    objects: Iterable[ParsedObject],
    *,
    image_id: int | str,
    reading: Reading,
) -> ImageRecord:
    """Make the record of one image; count and drop objects that cannot be used."""
    kept = []
    for parsed in objects:
        reading.facts.add(parsed.box, size)
        box = _checked_box(parsed.box, size, image, reading.problems)
        if box is not None:
            kept.append((parsed, box))
    return record_of(
        image, size, [parsed for parsed, _ in kept], [box for _, box in kept], image_id=image_id
    )


def record_of(
    image: Path,
    size: Size,
    objects: Sequence[ParsedObject],
    boxes: Sequence[Box],
    *,
    image_id: int | str,
) -> ImageRecord:
    """Make the record of one image with all of these objects and their `boxes`."""
    masks = [parsed.segmentation for parsed in objects]
    keypoints = [parsed.keypoints for parsed in objects if parsed.keypoints is not None]
    areas = [parsed.area for parsed in objects]
    has_areas = not all(map(math.isnan, areas))
    return ImageRecord(
        path=image,
        height=size[0],
        width=size[1],
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        classes=np.array([parsed.class_id for parsed in objects], dtype=np.int64),
        image_id=image_id,
        crowd=np.array([parsed.crowd for parsed in objects], dtype=np.bool_),
        difficult=np.array([parsed.difficult for parsed in objects], dtype=np.bool_),
        segmentations=masks if any(mask is not None for mask in masks) else None,
        keypoints=np.stack(keypoints) if keypoints else None,
        extra={"areas": np.array(areas, dtype=np.float64)} if has_areas else {},
    )


def _checked_box(box: Box, size: Size, image: Path, problems: Problems) -> Box | None:
    """Clip a box to the image; None if it cannot be used, which is counted."""
    if not math.isfinite(sum(box)) and not all(map(math.isfinite, box)):
        problems.add(
            "box with a coordinate that is no number (dropped)", str(image), Effect.DROPPED
        )
        return None
    x0, y0, x1, y1 = box
    if x1 == x0 or y1 == y0:
        problems.add("box without area (dropped)", str(image), Effect.DROPPED)
        return None
    if x1 < x0 or y1 < y0:
        problems.add(INVERTED, str(image), Effect.CHANGED)
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    if abs(x1 - x0 - 1) <= _ROUNDING or abs(y1 - y0 - 1) <= _ROUNDING:
        problems.add(ONE_PIXEL, str(image))
    height, width = size
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        problems.add("box outside its image (dropped)", str(image), Effect.DROPPED)
        return None
    if clipped[2] - clipped[0] < _MIN_SIDE or clipped[3] - clipped[1] < _MIN_SIDE:
        problems.add("box thinner than a pixel (dropped)", str(image), Effect.DROPPED)
        return None
    # Boxes counted from 1 end one pixel outside; these are not counted as clipped.
    if min(x0, y0) < -1 or x1 > width + 1 or y1 > height + 1:
        problems.add(CLIPPED, str(image), Effect.CHANGED)
    return clipped
