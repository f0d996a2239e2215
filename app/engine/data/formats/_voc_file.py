"""Read one VOC file, without deciding whether its maxima are inclusive.

That is decided for the whole set, so all its files are kept in memory, in a compact form.
"""

import math
import re
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path, PureWindowsPath
from sys import intern
from typing import NamedTuple
from xml.etree.ElementTree import Element

from app.engine.data.formats._records import Box, edges, enclosing
from app.engine.data.formats._text import number_of
from app.engine.data.formats._xml import NO_XML, parse_xml
from app.engine.data.problems import Effect, Problems
from app.engine.structures.size import Size

NO_VOC = "annotation file is XML but no PASCAL VOC (image left out)"
LOST_BOX = "bndbox that belongs to no object (image left out)"
DELETED = "object that LabelMe marks as deleted (left out)"

DIFFICULT = 1
EDGES = 2  # the numbers are edges, whatever the convention of the set is
INCOMPLETE = 4
COMMA = 8
CORNER_AND_SIZE = 16
POINTS = 32
UPRIGHT = 64
ENCLOSING = 128
FURTHER = 256
OTHER_TAG = 512
SECOND_NAME = 1024

_TOLD = {
    INCOMPLETE: ("object without a complete bndbox (dropped)", Effect.DROPPED),
    COMMA: ("box with decimal commas (read as points)", Effect.CHANGED),
    CORNER_AND_SIZE: ("box given as x, y, width and height", Effect.TOLD),
    POINTS: ("object with a polygon only (the box around it is taken)", Effect.CHANGED),
    UPRIGHT: ("rotated box (taken as upright)", Effect.CHANGED),
    ENCLOSING: ("rotated box (the upright box around it is taken)", Effect.CHANGED),
    FURTHER: ("further box of an object (taken as another object)", Effect.CHANGED),
    OTHER_TAG: ("object whose class is not in <name> but in <label> or <class>", Effect.TOLD),
    SECOND_NAME: ("object with two names (the first is taken)", Effect.CHANGED),
}

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOXES = (_CORNERS, ("x", "y", "width", "height"), ("x", "y", "w", "h"))
_POINT = re.compile(r"[xy]\d*")
_YES = ("1", "true", "yes")

# (root element, element in it) -> format of files that users sometimes give as VOC.
_OTHER_FORMATS = {
    ("annotations", "image"): "CVAT for images",
    ("annotations", "track"): "CVAT for video",
    ("dataset", "images"): "dlib",
}


class VocObject(NamedTuple):
    """One box of one object.

    corners  numbers in the file; NaN if there are none
    flags    DIFFICULT, EDGES, ...
    angle    radians by which the box is rotated about its centre
    """

    name: str
    corners: Box
    flags: int
    angle: float

    @property
    def is_complete(self) -> bool:
        """Whether the object has a box."""
        return not self.flags & INCOMPLETE

    @property
    def difficult(self) -> bool:
        """Whether PASCAL marks the object as difficult: used in training, not in evaluation."""
        return bool(self.flags & DIFFICULT)

    def edges(self, *, inclusive: bool) -> Box:
        """x0 y0 x1 y1, not inclusive, of the upright box around the object."""
        box = edges(self.corners, inclusive=inclusive and not self.flags & EDGES)
        return enclosing(box, self.angle) if self.angle else box

    def tell(self, where: str, problems: Problems) -> None:
        """Count the problems of the object that its flags mark."""
        if self.flags > DIFFICULT | EDGES:
            for flag, (kind, effect) in _TOLD.items():
                if self.flags & flag:
                    problems.add(kind, where, effect)


@dataclass(slots=True)
class VocFile:
    """One file; the objects are in arrays, one entry each.

    size           (height, width) of the annotated picture; None if the file has none
    filename       base name of the image in the file, or ""
    is_platforms   whether the platform wrote the file
    has_fractions  whether a corner has a decimal point
    num_corners    number of boxes given by corners, to which the set's convention applies
    """

    path: Path
    size: Size | None = None
    filename: str = ""
    is_platforms: bool = False
    has_fractions: bool = False
    num_corners: int = 0
    names: list[str] = field(default_factory=list)
    _corners: "array[float]" = field(default_factory=lambda: array("d"))
    _flags: "array[int]" = field(default_factory=lambda: array("H"))
    _angles: dict[int, float] = field(default_factory=dict)

    def add(self, name: str, corners: Box | None, flags: int, angle: float = 0.0) -> None:
        """Add a box; `corners` are None for an object without one."""
        if angle:
            self._angles[len(self.names)] = angle
        self.names.append(intern(name))
        self._corners.extend(corners or (math.nan,) * 4)
        self._flags.append(flags if corners else flags | INCOMPLETE)
        self.num_corners += corners is not None and not flags & EDGES

    def objects(self) -> Iterator[VocObject]:
        """Yield all objects."""
        values = iter(self._corners)
        corners = zip(values, values, values, values, strict=True)
        for index, (name, box, flags) in enumerate(
            zip(self.names, corners, self._flags, strict=True)
        ):
            yield VocObject(name, box, flags, self._angles.get(index, 0.0))

    def num_touching(self, size: Size) -> int:
        """The number of boxes that end at the height or width of the image."""
        height, width = size
        return sum(
            not found.flags & EDGES and (found.corners[2] == width or found.corners[3] == height)
            for found in self.objects()
        )


def read_file(path: Path, problems: Problems) -> VocFile | None:
    """Read a file; None if it cannot be read, which is counted."""
    root = parse_xml(path, problems)
    root = None if root is None else _annotation(root, path, problems)
    if root is None:
        return None
    file = VocFile(path, _size(root), _base_name(root.findtext("filename")), _is_platforms(root))
    in_parts = {id(inner): inner.tag for part in root.iter("part") for inner in part.iter()}
    num_boxes = list(in_parts.values()).count("bndbox")
    for element in root.iter("object"):
        if id(element) not in in_parts:
            num_boxes += _read_object(element, file, problems)
    if sum(1 for _ in root.iter("bndbox")) > num_boxes:
        problems.add(LOST_BOX, str(path), Effect.BROKEN)
        return None
    if unreadable := next((name for name in file.names if "\ufffd" in name), None):
        problems.add(
            NO_XML, f"{path}: class name {unreadable} is in an unknown encoding", Effect.BROKEN
        )
        return None
    return file


def _annotation(root: Element, path: Path, problems: Problems) -> Element | None:
    """The element that contains the objects; None if the file is no VOC, which is counted."""
    inner, tags = root.findall("annotation"), {child.tag for child in root}
    if not inner and (root.tag == "annotation" or tags & {"object", "objects", "size"}):
        return root
    if len(inner) == 1:
        return inner[0]
    writer = _writer(root.tag, tags)
    reason = (
        f"it holds annotations of {len(inner)} images"
        if inner
        else f"<{root.tag}>{writer}; export the data set as PASCAL VOC or COCO"
    )
    problems.add(NO_VOC, f"{path}: {reason}", Effect.BROKEN)
    return None


def _writer(root: str, tags: Collection[str]) -> str:
    for (top, below), writer in _OTHER_FORMATS.items():
        if top == root and below in tags:
            return f", as {writer} writes it"
    return ""


def _read_object(element: Element, file: VocFile, problems: Problems) -> int:
    """Add the boxes of an object to `file`; return the number of its bndbox elements."""
    boxes, names, flags, turn, deleted = [], [], 0, 0.0, False
    for child in element:
        tag = child.tag
        if tag == "bndbox":
            boxes.append(child)
        elif tag == "name":
            names.append(child.text or "")
        elif tag == "difficult" and _is_yes(child.text):
            flags = DIFFICULT
        elif tag == "attributes":
            turn = _rotation(child)
        elif tag == "deleted":
            deleted = _is_yes(child.text)
    if deleted:
        problems.add(DELETED, str(file.path))
        return len(boxes)
    name, more = _name(names, element)
    for box in boxes:
        _add_bndbox(box, name, flags | more, turn, file)
        more |= FURTHER
    if not boxes:
        _add_other_shape(element, name, flags | more, file)
    return len(boxes)


def _name(names: list[str], element: Element) -> tuple[str, int]:
    """The class name of an object, and a flag."""
    if not names:
        text = element.findtext("label") or element.findtext("class") or ""
        return text, OTHER_TAG if text else 0
    text = unescape(names[0]) if "&" in names[0] else names[0]
    return text, 0 if len(set(names)) == 1 else SECOND_NAME


def _add_bndbox(box: Element, name: str, flags: int, turn: float, file: VocFile) -> None:
    """Add a box; without corners unless there are exactly four."""
    texts = {child.tag: child.text or "" for child in box}
    is_twice = len(texts) < len(box)
    if box.attrib:
        texts = {**box.attrib, **texts}
    tags = next((tags for tags in _BOXES if all(tag in texts for tag in tags)), None)
    if tags is None or is_twice:
        file.add(name, None, flags)
        return
    found = [texts[tag] for tag in tags]
    numbers, comma = _numbers(found)
    if numbers is not None and tags is not _CORNERS:
        x, y, width, height = numbers
        numbers, flags = (x, y, x + width, y + height), flags | CORNER_AND_SIZE | EDGES
    elif "." in (joined := "".join(found)) or "," in joined:
        file.has_fractions = True
    if turn:
        flags |= ENCLOSING
    elif "rotate_angle" in texts and number_of(texts["rotate_angle"]):
        flags |= UPRIGHT
    file.add(name, numbers, flags | comma, turn)


def _numbers(texts: list[str]) -> tuple[Box | None, int]:
    """Four numbers, or None, and a flag for decimal commas."""
    try:
        a, b, c, d = map(float, texts)
    except ValueError:
        try:
            a, b, c, d = (float(text.replace(",", ".")) for text in texts)
        except ValueError:
            return None, 0
        return (a, b, c, d), COMMA
    return (a, b, c, d), 0


def _add_other_shape(element: Element, name: str, flags: int, file: VocFile) -> None:
    """Add the box around a rotated box (roLabelImg) or a polygon (LabelMe, Roboflow), if any."""
    rotated = element.find("robndbox")
    if rotated is not None:
        values = [number_of(rotated.findtext(tag)) for tag in ("cx", "cy", "w", "h", "angle")]
        if None in values:
            file.add(name, None, flags)
            return
        x, y, width, height, angle = (value or 0.0 for value in values)
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        file.add(name, box, flags | EDGES | (ENCLOSING if angle else 0), angle)
        return
    polygon = element.find("polygon")
    points = None if polygon is None else _points(polygon)
    file.add(name, points, flags | EDGES | (POINTS if points else 0))


def _points(polygon: Element) -> Box | None:
    """The box around a polygon's points; None if there are fewer than two."""
    axes: dict[str, list[float]] = {"x": [], "y": []}
    for element in polygon.iter():
        if _POINT.fullmatch(element.tag):
            value = number_of(element.text)
            if value is None:
                return None
            axes[element.tag[0]].append(value)
    xs, ys = axes["x"], axes["y"]
    return (min(xs), min(ys), max(xs), max(ys)) if len(xs) == len(ys) > 1 else None


def _rotation(attributes: Element) -> float:
    """The rotation in radians from CVAT's attribute; 0.0 without one."""
    for attribute in attributes:
        if (attribute.findtext("name") or "").strip().lower() == "rotation":
            return math.radians(number_of(attribute.findtext("value")) or 0.0) % math.pi
    return 0.0


def _size(root: Element) -> Size | None:
    """(height, width) of the annotated picture; None if there is none."""
    for tags in (("size/height", "size/width"), ("imagesize/nrows", "imagesize/ncols")):
        height, width = (number_of(root.findtext(tag)) or 0.0 for tag in tags)
        if height >= 1 and width >= 1:
            return round(height), round(width)
    return None


def _base_name(text: str | None) -> str:
    """The base name of a path of any system."""
    return PureWindowsPath(text.strip()).name if text else ""


def _is_platforms(root: Element) -> bool:
    """Whether the platform wrote the file: it has two of its marks (others may have one)."""
    source = root.find("source")
    marks = (
        root.findtext("folder") == "folder",
        source is not None
        and source.findtext("annotation") == source.findtext("image") == "unknown",
        root.find("image_quality") is not None,
        (root.findtext("filename") or "").startswith("/in/assets/"),
    )
    return sum(marks) >= 2


def _is_yes(text: str | None) -> bool:
    if text == "0" or not text:
        return False
    return text.strip().lower() in _YES or bool(number_of(text))
