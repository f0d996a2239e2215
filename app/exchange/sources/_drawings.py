"""What people draw in a labelling tool: boxes, polygons, ellipses and bitmaps -> objects."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from app.engine.data.formats import Reading
from app.engine.data.formats._coco_file import CocoImage
from app.engine.data.formats._coco_masks import mask_box
from app.engine.data.formats._coco_names import match_images
from app.engine.data.formats._coco_objects import clipped
from app.engine.data.formats._frames import SAME, frame_map, moved
from app.engine.data.formats._records import Box, ParsedObject, build_record, readable_pairs
from app.engine.data.formats._text import number_of
from app.engine.data.images.decoding import MAX_PIXELS
from app.engine.data.problems import Effect, Problems
from app.engine.structures.class_names import plain_name
from app.engine.structures.record import ImageRecord, Segmentation
from app.engine.structures.size import Size
from app.exchange.sources._place import Place
from app.exchange.sources._source import Content, Split, renumbered, tell_unlabelled
from app.exchange.sources._splits import splits_of_folders

ROTATED = "rotated box (an upright box around it is taken)"
ROUND = "circle or ellipse (its mask is a polygon of 64 corners)"
NO_AREA = "point, line or other shape without area (dropped)"
FEW_POINTS = "polygon of fewer than three points (dropped)"
NOT_NUMBERS = "shape whose numbers cannot be read (dropped)"
GROUPED = "polygon of a group (joined to the group's mask)"
NO_IMAGE = "labelled image that is not there (left out)"
NO_CLASS = "shape without a class (dropped)"

_CORNERS = 64

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """One object in pixels of the picture in which it was drawn.

    box    x0 y0 x1 y1, maybe inverted or partly outside
    group  the same for polygons of one object; None for an object of its own
    """

    class_name: str
    box: Box
    mask: Segmentation | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """One labelled image.

    image     its name as the tool writes it
    where     the file, or the place in a file, for messages
    shapes    returns its shapes, given the (height, width) of the picture as it is shown
    size      (height, width) of the picture in which was drawn; None if the tool draws in the
              picture as it is shown
    split     its set, if the tool says one
    """

    image: str
    where: str
    shapes: Callable[[Size], Sequence[Shape]]
    size: Size | None = None
    split: Split | None = None


@dataclass(slots=True)
class ShapeMaker:
    """Makes the shapes of one image, and counts those that cannot be used.

    size  (height, width) of the picture in which was drawn
    """

    size: Size
    where: str
    problems: Problems
    found: list[Shape] = field(default_factory=list)

    def box(self, name: str, box: Box) -> None:
        """Add an upright box."""
        self._add(name, box)

    def rotated(self, name: str, corners: Points) -> None:
        """Add the upright box around the (4, 2) corners of a rotated box."""
        self.problems.add(ROTATED, self.where, Effect.CHANGED)
        self._add(name, clipped(_around(corners), self.size))

    def polygon(self, name: str, points: Points, group: str | None = None) -> None:
        """Add a polygon of (N, 2) points."""
        if len(points) < 3:
            self.drop(FEW_POINTS, name)
            return
        self._add(name, _around(points), [points.reshape(-1)], group)

    def ellipse(self, name: str, centre: Points, radii: Points, angle: float = 0.0) -> None:
        """Add an ellipse that is rotated by `angle` radians clockwise."""
        self.problems.add(ROUND, self.where, Effect.CHANGED)
        turns = np.linspace(0, 2 * math.pi, _CORNERS, endpoint=False)
        ring = np.stack((np.cos(turns), np.sin(turns)), axis=1) * radii
        points = ring @ turning_matrix(angle).T + centre
        self._add(name, clipped(_around(points), self.size), [points.reshape(-1)])

    def bitmap(self, name: str, bits: npt.NDArray[np.bool_], left: int, top: int) -> None:
        """Add a mask whose upper left pixel is at `left`, `top`."""
        whole = np.zeros(self.size, dtype=np.uint8, order="F")
        rows, columns = bits.shape
        part = whole[max(top, 0) : top + rows, max(left, 0) : left + columns]
        part[:] = bits[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
        code: Segmentation = coco_mask.encode(whole)
        self._add(name, mask_box(code), code)

    def drop(self, kind: str, what: str) -> None:
        """Count a shape that is not used."""
        self.problems.add(kind, f"{self.where}: {what}", Effect.DROPPED)

    def _add(
        self, name: str, box: Box, mask: Segmentation | None = None, group: str | None = None
    ) -> None:
        name = plain_name(name)
        if name:
            self.found.append(Shape(name, box, mask, group))
        else:
            self.drop(NO_CLASS, "a shape")


def annotated_size(height: Any, width: Any) -> Size | None:
    """The size that a file says, unless the numbers are missing or no image can have them."""
    sides = (number_of(height) or 0.0, number_of(width) or 0.0)
    is_possible = min(sides) >= 1 and math.prod(sides) <= MAX_PIXELS
    return (int(sides[0]), int(sides[1])) if is_possible else None


def turning_matrix(angle: float) -> Points:
    """(2, 2) matrix that turns points by `angle` radians, clockwise as pictures are shown."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def rectangle(box: Box, angle: float, *, about_corner: bool = False) -> Points:
    """The (4, 2) corners of a box that is rotated clockwise by `angle` radians about its centre,
    or about its first corner.
    """
    x0, y0, x1, y1 = box
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)
    pivot = corners[0] if about_corner else corners.mean(axis=0)
    turned: Points = (corners - pivot) @ turning_matrix(angle).T + pivot
    return turned


def is_upright(degrees: float) -> bool:
    """Whether a box that is rotated by so many degrees is still the same upright box."""
    return abs(math.remainder(degrees, 360)) < 0.01


def located(
    drawings: Sequence[Drawing], images: Sequence[Path], problems: Problems
) -> list[tuple[Path, Drawing]]:
    """Find the image of each drawing by the end of its name; count those that are not there."""
    entries = [CocoImage(i, drawn.image, None, i, {}) for i, drawn in enumerate(drawings)]
    found = {
        entry.key: image
        for image, entry in match_images(images, entries, problems).items()
        if entry is not None
    }
    for number, drawn in enumerate(drawings):
        if number not in found:
            problems.add(NO_IMAGE, f"{drawn.image or '(no name)'} in {drawn.where}", Effect.BROKEN)
    return [(found[i], drawn) for i, drawn in enumerate(drawings) if i in found]


def content_of(
    drawn: Sequence[tuple[Path, Drawing]],
    place: Place,
    reading: Reading,
    class_order: Iterable[str] = (),
) -> Content:
    """Return the content of a source whose images have these drawings; see `_records_of`."""
    records, class_names = _records_of(drawn, reading, class_order)
    used = {image for image, _ in drawn}
    splits = {image: drawing.split for image, drawing in drawn if drawing.split is not None}
    reading = replace(reading, class_names=class_names)
    content = Content(records, reading, splits or splits_of_folders(used, place))
    tell_unlabelled(content, place, used=used)
    return content


def _records_of(
    drawn: Sequence[tuple[Path, Drawing]], reading: Reading, class_order: Iterable[str] = ()
) -> tuple[list[ImageRecord], list[str]]:
    """Return the records of images with their drawings, and the names of their classes.

    class_order  classes in the tool's order; others follow, sorted
    """
    drawing_of = dict(drawn)
    headers = readable_pairs([(image, image) for image in drawing_of], reading.problems)
    shapes = {image: drawing_of[image].shapes(header.size) for image, _, header in headers}
    used = {shape.class_name for found in shapes.values() for shape in found}
    known = dict.fromkeys(plain_name(name) for name in class_order)
    class_names = [*known, *sorted(used - known.keys())]
    numbers = {name: number for number, name in enumerate(class_names)}
    records = []
    for image, _, header in headers:
        drawing = drawing_of[image]
        where = f"{image.name} in {drawing.where}"
        frame = SAME
        if drawing.size is not None:
            found = frame_map(drawing.size, header, reading, where)
            if found is None:
                continue
            frame = found
        objects = [
            moved(
                ParsedObject(numbers[s.class_name], s.box, segmentation=s.mask), frame, header.size
            )
            for s in _grouped(shapes[image], drawing.size or header.size, where, reading.problems)
        ]
        records.append(build_record(image, header.size, objects, image_id=0, reading=reading))
    return renumbered(sorted(records, key=lambda record: record.path)), class_names


def _grouped(shapes: Sequence[Shape], size: Size, where: str, problems: Problems) -> list[Shape]:
    """Join the masks of one class and group."""
    found: list[Shape] = []
    places: dict[tuple[str, str], int] = {}
    for shape in shapes:
        if shape.group is None or shape.mask is None:
            found.append(shape)
            continue
        place = places.setdefault((shape.class_name, shape.group), len(found))
        if place == len(found):
            found.append(shape)
        else:
            problems.add(GROUPED, where, Effect.CHANGED)
            found[place] = _united(found[place], shape, size)
    return found


def _united(one: Shape, other: Shape, size: Size) -> Shape:
    masks = [mask for mask in (one.mask, other.mask) if mask is not None]
    box = _around(np.array([one.box, other.box], dtype=np.float64).reshape(-1, 2))
    rings = [mask for mask in masks if isinstance(mask, list)]
    if len(rings) == len(masks):
        return Shape(one.class_name, box, [ring for each in rings for ring in each], one.group)
    whole = coco_mask.merge([_code(mask, size) for mask in masks])
    return Shape(one.class_name, box, whole, one.group)


def _code(mask: Segmentation, size: Size) -> Segmentation:
    if isinstance(mask, dict):
        return mask
    code: Segmentation = coco_mask.merge(coco_mask.frPyObjects([p.tolist() for p in mask], *size))
    return code


def _around(points: Points) -> Box:
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x0, y0, x1, y1
