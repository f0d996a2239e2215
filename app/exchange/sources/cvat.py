"""CVAT's own XML, "CVAT for images 1.1": boxes, polygons, ellipses and masks of many images.

Tracks ("CVAT for video") belong to frames of a video, of which this file has no pictures; they are
refused by name.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from app.engine.data.formats._text import number_of
from app.engine.data.formats._xml import parse_xml
from app.engine.data.problems import Problems
from app.engine.errors import DatasetError
from app.engine.structures.size import Size
from app.exchange.sources._drawings import (
    NO_AREA,
    NOT_NUMBERS,
    Drawing,
    Shape,
    ShapeMaker,
    annotated_size,
    content_of,
    is_upright,
    located,
    rectangle,
)
from app.exchange.sources._json import points_of
from app.exchange.sources._place import Place, head_of
from app.exchange.sources._source import (
    Content,
    Request,
    Source,
    counted,
)
from app.exchange.sources._splits import split_of_name

OTHER_XML = "XML file that is none of CVAT (not read)"
NOT_READ = "skeleton, cuboid or tag of CVAT (dropped)"
OCCLUDED = "object that CVAT marks as occluded (used like the others)"
BROKEN_MASK = "bitmap whose run lengths do not fill it (dropped)"

_ROOT_ELEMENT = re.compile(r"<annotations[\s>]")
_LABELS = "meta/*/labels/label/name"
_TRACKS = "CVAT's tracks of a video; export the task as 'CVAT for images 1.1', with its images"


def _recognise(place: Place) -> str:
    files = _cvat_files(place)
    return counted(len(files), "CVAT file", place.shown(files[0])) if files else ""


def _cvat_files(place: Place) -> list[Path]:
    return [
        path for path in place.with_suffix(".xml") if _ROOT_ELEMENT.search(head_of(path)[:2000])
    ]


def _read(request: Request) -> Content:
    place, reading = request.place, request.reading()
    problems = reading.problems
    files = _cvat_files(place)
    for path in place.with_suffix(".xml"):
        if path not in files:
            problems.add(OTHER_XML, place.shown(path))
    drawings: list[Drawing] = []
    class_order: list[str] = []
    for path in files:
        root = parse_xml(path, problems)
        if root is None:
            raise DatasetError(f"{path}: {problems.lines()[-1]}")
        if root.find("track") is not None:
            raise DatasetError(f"{path} holds {_TRACKS}")
        class_order += [name.text or "" for name in root.findall(_LABELS)]
        drawings += [_drawing(image, path, problems) for image in root.findall("image")]
    drawn = located(drawings, place.images, problems)
    return content_of(drawn, place, reading, class_order)


def _drawing(image: Element, path: Path, problems: Problems) -> Drawing:
    size = annotated_size(image.get("height"), image.get("width"))
    name = image.get("name", "")
    shapes = partial(_shapes, image, size, f"{path.name}: {name}", problems)
    return Drawing(name, path.name, shapes, size, split_of_name(image.get("subset", "")))


def _shapes(
    image: Element, size: Size | None, where: str, problems: Problems, shown: Size
) -> Sequence[Shape]:
    made = ShapeMaker(size or shown, where, problems)
    for element in image:
        if element.get("occluded") == "1":
            problems.add(OCCLUDED, where)
        add = _ADD.get(element.tag)
        if add is not None:
            try:
                add(made, element)
            except (TypeError, ValueError):
                made.drop(NOT_NUMBERS, element.get("label", element.tag))
        elif element.tag in ("polyline", "points"):
            made.drop(NO_AREA, f"{element.get('label')}, {element.tag}")
        else:
            made.drop(NOT_READ, f"{element.get('label')}, {element.tag}")
    return made.found


def _add_box(made: ShapeMaker, element: Element) -> None:
    x0, y0, x1, y1 = _numbers(element, "xtl", "ytl", "xbr", "ybr")
    degrees = float(element.get("rotation") or 0)
    if is_upright(degrees):
        made.box(_label(element), (x0, y0, x1, y1))
    else:
        made.rotated(_label(element), rectangle((x0, y0, x1, y1), np.radians(degrees)))


def _add_polygon(made: ShapeMaker, element: Element) -> None:
    pairs = [pair.split(",") for pair in (element.get("points") or "").split(";") if pair.strip()]
    points = points_of(pairs)
    if points is None:
        raise ValueError("no pairs of numbers")
    group = element.get("group_id")
    made.polygon(_label(element), points, None if group in (None, "", "0") else group)


def _add_ellipse(made: ShapeMaker, element: Element) -> None:
    x, y, radius_x, radius_y = _numbers(element, "cx", "cy", "rx", "ry")
    degrees = float(element.get("rotation") or 0)
    made.ellipse(
        _label(element), np.array([x, y]), np.array([radius_x, radius_y]), np.radians(degrees)
    )


def _add_mask(made: ShapeMaker, element: Element) -> None:
    left, top, width, height = map(int, _numbers(element, "left", "top", "width", "height"))
    runs = np.array((element.get("rle") or "0").split(","), dtype=np.int64)
    fits = height <= made.size[0] and width <= made.size[1]
    bits = unpacked(runs, (height, width)) if fits else None
    if bits is None:
        made.drop(BROKEN_MASK, _label(element))
    else:
        made.bitmap(_label(element), bits, left, top)


def unpacked(runs: npt.NDArray[np.int64], size: Size) -> npt.NDArray[np.bool_] | None:
    """The bitmap of run lengths along the rows, which begin with the length of the background;
    None if they do not fill it or it is empty.
    """
    height, width = size
    if min(runs.min(), height, width) < 0 or runs.sum() != height * width:
        return None
    bits = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return bits if bits.any() else None


def _label(element: Element) -> str:
    return element.get("label", "")


def _numbers(element: Element, *keys: str) -> tuple[float, ...]:
    """Raises TypeError or ValueError unless all of them are finite numbers."""
    numbers = tuple(number_of(element.get(key)) for key in keys)
    if None in numbers:
        raise ValueError("not a number")
    return tuple(number for number in numbers if number is not None)


_ADD = {
    "box": _add_box,
    "polygon": _add_polygon,
    "ellipse": _add_ellipse,
    "mask": _add_mask,
}

SOURCE = Source(
    recognise=_recognise,
    read=_read,
    looked_for="CVAT for images (.xml files with <annotations>)",
)
