"""Read the objects of an image from the annotations of a COCO file, whichever program wrote it.

Numbers may be texts. A box is x y width height; if it is missing or has no area, the mask's box is
used. Values that are not used as written are counted.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.data.formats._coco_file import Category, CocoFile, Entry, Key, id_key
from app.engine.data.formats._coco_masks import mask_box, num_polygons, parse_segmentation
from app.engine.data.formats._frames import FrameMap
from app.engine.data.formats._records import Box, ParsedObject, enclosing
from app.engine.data.formats._text import number_of
from app.engine.data.problems import Effect, Problems
from app.engine.structures.record import Segmentation
from app.engine.structures.size import Size

FROM_MASK = "box that is missing, without area or not four numbers (taken from the object's mask)"
NO_BOX = "object without a box of four numbers (dropped)"
BROKEN_MASK = "mask that is neither polygons nor run-length code of the image's size (left out)"
BROKEN_POLYGON = "polygon of a mask without three points of two numbers (left out of the mask)"
ROTATED = "rotated box (an upright box around it is taken)"
SHIFTED_IDS = "COCO file whose category_ids are all listed if one is added or taken off"
UNLISTED_CATEGORY = "object of a category that the file does not list (dropped)"
ODD_CROWD = "iscrowd that is not the number 0 or 1 (of texts, 1, true and yes are taken as 1)"
ODD_AREA = "area that is no positive number (that of the mask or box is taken)"
IGNORED = "object marked with ignore (learnt from, left out of evaluation)"
ODD_KEYPOINTS = "keypoints that are not three numbers for each name of the category"

FindClass = Callable[[Category], int | None]
"""Returns the class of a category; None if it is not requested, which is counted."""

_CORNER_NAMES = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SIZE_NAMES = (
    ("x", "y", "width", "height"),
    ("x", "y", "w", "h"),
    ("left", "top", "width", "height"),
)
MAX_COORDINATE = 1e9
"""Larger numbers lose their precision in float32 and make losses infinite."""

_YES_WORDS = ("1", "1.0", "true", "yes")


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of one image's annotations.

    size   (height, width) of the picture in which run-length codes are
    shown  (height, width) of the shown picture
    boxes  map to the shown picture for objects without a mask
    masks  map to the shown picture for objects with a mask
    """

    size: Size
    shown: Size
    boxes: FrameMap
    masks: FrameMap


class ObjectReader:
    """Reads the objects of one file."""

    def __init__(
        self, file: CocoFile, find_class: FindClass, problems: Problems, *, num_keypoints: int = 0
    ) -> None:
        self.file = file
        self.problems = problems
        self.num_keypoints = num_keypoints
        self._find_class = find_class
        self._used: set[Key | None] = set()
        self._categories: Mapping[Key, Category] = {c.key: c for c in file.categories}

    def read(self, key: Key, frames: Frames) -> Iterator[ParsedObject]:
        """Yield the objects of the image `key`, in the order of the file."""
        for entry in self.file.annotations[key]:
            class_id = self.class_of(entry)
            if class_id is None:
                continue
            mask = self.mask(entry, frames.size)
            if mask is None and entry.get("segmentation"):
                self.count(BROKEN_MASK, entry)
            box = self._box(entry, mask, frames.size)
            if box is None:
                continue
            frame = frames.boxes if mask is None else frames.masks
            yield ParsedObject(
                class_id,
                frame.box(box),
                crowd=self.is_crowd(entry),
                difficult=self.is_ignored(entry) or entry.get("difficult") == 1,
                segmentation=None if mask is None else frame.mask(mask, frames.shown),
                area=self.area(entry) * frame.scale,
                keypoints=self.keypoints(entry, frame) if self.num_keypoints else None,
            )

    def class_of(self, entry: Entry) -> int | None:
        """The class of an annotation; None if it is unknown or not requested, which is counted."""
        key = id_key(entry.get("category_id"))
        self._used.add(key)
        category = None if key is None else self._categories.get(key)
        if category is None:
            given = entry.get("category_id")
            self.count(UNLISTED_CATEGORY, entry, f"category_id {given}", Effect.DROPPED)
            return None
        return self._find_class(category)

    def tell_shifted_ids(self) -> None:
        """Count the file if its category ids are shifted by one: some of the ids that were read are
        not listed, but all are if 1 is added or subtracted.
        """
        used = [key for key in self._used if isinstance(key, int)]
        if all(key in self._categories for key in used):
            return
        for shift in (1, -1):
            if all(key + shift in self._categories for key in used):
                told = f"{_range(used)} are used, {_range(self._categories)} are listed"
                self.problems.add(SHIFTED_IDS, f"{self.file.path}: {told}")
                return

    def mask(self, entry: Entry, size: Size) -> Segmentation | None:
        """The mask of an annotation in a picture of `size`; None if it is missing or broken."""
        given = entry.get("segmentation")
        if not given:
            return None
        mask = parse_segmentation(given, size)
        if isinstance(mask, list) and len(mask) < num_polygons(given):
            self.count(BROKEN_POLYGON, entry)
        return mask

    def is_crowd(self, entry: Entry) -> bool:
        """The value of `iscrowd`, which may be a number or a text."""
        value = entry.get("iscrowd")
        if value is None or value is False or value is True or value in (0, 1):
            return bool(value)
        self.count(ODD_CROWD, entry, f"iscrowd {value!r}")
        if isinstance(value, str):
            return value.strip().lower() in _YES_WORDS
        return isinstance(value, int | float) and not math.isnan(value)

    def area(self, entry: Entry) -> float:
        """The area in pixels; NaN if the annotation has none."""
        value = entry.get("area")
        number = number_of(value)
        if number is not None and number > 0:
            return number
        if value not in (None, 0, ""):
            self.count(ODD_AREA, entry, f"area {value!r}")
        return math.nan

    def keypoints(self, entry: Entry, frame: FrameMap) -> npt.NDArray[np.float32]:
        """(num_keypoints, 3) at pixel centres: COCO has pixel indices, 0.5 is added."""
        values = entry.get("keypoints") or [0] * (3 * self.num_keypoints)
        try:
            points = np.array(values, dtype=np.float64).reshape(-1, 3)
        except (TypeError, ValueError, OverflowError):
            points = np.zeros((0, 3))
        if len(points) != self.num_keypoints or not (np.abs(points) < MAX_COORDINATE).all():
            told = f"{len(points)} keypoints, its category has {self.num_keypoints}"
            self.count(ODD_KEYPOINTS, entry, told, Effect.STOPS)
            return np.zeros((self.num_keypoints, 3), dtype=np.float32)
        points[:, :2] = frame.points(points[:, :2] + 0.5)
        return points.astype(np.float32)

    def _box(self, entry: Entry, mask: Segmentation | None, size: Size) -> Box | None:
        """x0 y0 x1 y1, maybe inverted; None if there is no box, which is counted.

        If the box is missing, has no area or is not of numbers, the mask's box is used.
        """
        box = parse_box(entry.get("bbox"))
        angle = _rotation(entry)
        if mask is not None and (angle or box is None or not has_area(box)):
            self.count(ROTATED if angle else FROM_MASK, entry, effect=Effect.CHANGED)
            return mask_box(mask)
        if box is None:
            self.count(NO_BOX, entry, f"bbox {entry.get('bbox')!r}", Effect.DROPPED)
        elif angle:
            self.count(ROTATED, entry, f"by {angle:g} degrees", Effect.CHANGED)
            # The corners of a rotated box may lie outside the picture, the object rarely does.
            return clipped(enclosing(box, math.radians(angle)), size)
        return box

    def is_ignored(self, entry: Entry) -> bool:
        """Whether an annotation has `ignore`, by which writers exclude objects from evaluation."""
        value = entry.get("ignore")
        if not value or (isinstance(value, str) and value.strip().lower() not in _YES_WORDS):
            return False
        self.count(IGNORED, entry)
        return True

    def count(
        self, kind: str, entry: Entry, detail: str = "", effect: Effect = Effect.TOLD
    ) -> None:
        """Count a problem of `kind` at an annotation."""
        told = f": {detail[:80]}" if detail else ""
        self.problems.add(kind, f"annotation {entry.get('id')} in {self.file.path}{told}", effect)


def _range(keys: Iterable[Key]) -> str:
    numbers = sorted(key for key in keys if isinstance(key, int))
    return f"{numbers[0]} to {numbers[-1]}"


def parse_box(value: Any) -> Box | None:
    """x0 y0 x1 y1 of a COCO box; None unless there are four numbers of clear meaning."""
    if isinstance(value, dict):
        return _named_box(value)
    if isinstance(value, str):
        text = value.strip("[]() ")
        value = text.split(",") if "," in text else text.split()
    elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    try:
        x, y, width, height = value
        x0, y0 = float(x), float(y)
        return x0, y0, x0 + float(width), y0 + float(height)
    except (TypeError, ValueError, OverflowError):
        return None


def clipped(box: Box, size: Size) -> Box:
    """Clip a box to a picture of `size`; unchanged if its centre is outside."""
    x0, y0, x1, y1 = box
    height, width = map(float, size)
    if not (0 <= x0 + x1 <= 2 * width and 0 <= y0 + y1 <= 2 * height):
        return box
    return max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)


def _named_box(value: Mapping[str, Any]) -> Box | None:
    """x0 y0 x1 y1 of a box whose numbers have names; None if the names are not known."""
    for names in _CORNER_NAMES:
        corners = [n for name in names if (n := number_of(value.get(name))) is not None]
        if len(corners) == 4:
            x0, y0, x1, y1 = corners
            return x0, y0, x1, y1
    for names in _SIZE_NAMES:
        if all(name in value for name in names):
            return parse_box([value[name] for name in names])
    return None


def has_area(box: Box) -> bool:
    """Whether a box, maybe inverted, has finite numbers and an area."""
    width, height = box[2] - box[0], box[3] - box[1]
    return math.isfinite(width * height) and width * height != 0


def _rotation(entry: Entry) -> float:
    """Degrees by which a box of CVAT is rotated about its centre; 0 if it is upright."""
    attributes = entry.get("attributes")
    if not isinstance(attributes, dict):
        return 0.0
    angle = number_of(attributes.get("rotation")) or 0.0
    return 0.0 if abs(math.remainder(angle, 180)) < 0.01 else angle
