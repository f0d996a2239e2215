"""Label Studio's JSON and JSON-MIN: a list of tasks, each an image with the results of people.

Its numbers are percent of the picture as a browser shows it, so of the picture that EXIF has
turned. A box is rotated about its upper left corner.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.engine.data.formats._coco_names import as_address, has_image_suffix
from app.engine.data.formats._text import number_of
from app.engine.data.problems import Effect, Problems
from app.engine.structures.size import Size
from app.exchange.sources._drawings import (
    NO_AREA,
    NOT_NUMBERS,
    Drawing,
    Shape,
    ShapeMaker,
    content_of,
    is_upright,
    located,
    rectangle,
)
from app.exchange.sources._json import points_of, read_json, text_of
from app.exchange.sources._place import Place, head_of, holds
from app.exchange.sources._source import Content, Request, Source, counted

OTHER_JSON = "JSON file that is none of Label Studio (not read)"
UNFINISHED = "task without an annotation, or with skipped ones only (left out)"
SEVERAL = "further annotation of a task (the one marked as ground truth, else the first, is taken)"
BRUSH = "brush stroke of Label Studio (dropped; export COCO, or draw polygons)"

_LABEL_KEYS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
_BRUSHES = ("brush", "brushlabels")
_POINTS = ("keypoint", "keypointlabels")

Entry = dict[str, Any]


def _recognise(place: Place) -> str:
    files = _its_files(place)
    return counted(len(files), "Label Studio file", place.shown(files[0])) if files else ""


def _its_files(place: Place) -> list[Path]:
    return [path for path in place.with_suffix(".json") if _is_its_file(path)]


def _is_its_file(path: Path) -> bool:
    if head_of(path)[:1] != "[":
        return False
    is_full = holds(path, "annotations", "data") or holds(path, "completions", "data")
    return is_full or any(holds(path, key, "original_width") for key in _LABEL_KEYS)


def _read(request: Request) -> Content:
    place, reading = request.place, request.reading()
    problems = reading.problems
    files = _its_files(place)
    for path in place.with_suffix(".json"):
        if path not in files:
            problems.add(OTHER_JSON, place.shown(path))
    drawings: list[Drawing] = []
    for path in files:
        tasks = read_json(path, problems)
        for task in tasks if isinstance(tasks, list) else ():
            if isinstance(task, dict):
                drawings += _drawings(task, path, problems)
    return content_of(located(drawings, place.images, problems), place, reading)


def _drawings(task: Entry, path: Path, problems: Problems) -> Iterator[Drawing]:
    """Yield the drawing of a task, if it is finished."""
    image, where = _image_name(task), f"{path.name}, task {text_of(task.get('id'))}"
    results = _results(task, where, problems)
    if results is None:
        problems.add(UNFINISHED, where, Effect.LEFT_OUT)
    else:
        yield Drawing(image, where, partial(_shapes, results, where, problems))


def _results(task: Entry, where: str, problems: Problems) -> list[Any] | None:
    """The entries that one person made; None if nobody finished the task."""
    given = task.get("annotations", task.get("completions"))
    if given is None:  # JSON-MIN has a list of regions under a key of the project's own
        lists = [value for value in task.values() if _is_regions(value)]
        return [region for regions in lists for region in regions] if lists else None
    finished = [
        each
        for each in (given if isinstance(given, list) else ())
        if isinstance(each, dict) and not each.get("was_cancelled")
    ]
    for _ in finished[1:]:
        problems.add(SEVERAL, where)
    best = sorted(finished, key=lambda each: not each.get("ground_truth"))[:1]
    result = best[0].get("result") if best else None
    return result if isinstance(result, list) else None


def _is_regions(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and "original_width" in item for item in value
    )


def _image_name(task: Entry) -> str:
    """The first text among the task's data that ends like an image's name."""
    data = task.get("data")
    values: Iterable[Any] = data.values() if isinstance(data, dict) else task.values()
    names = [value for value in (*values, task.get("file_upload")) if isinstance(value, str)]
    fitting = (name for name in names if has_image_suffix((as_address(name) or ("",))[-1]))
    return next(fitting, names[0] if names else "")


def _shapes(results: Sequence[Any], where: str, problems: Problems, shown: Size) -> Sequence[Shape]:
    made = ShapeMaker(shown, where, problems)
    entries = [entry for entry in results if isinstance(entry, dict)]
    names = _names_of_regions(entries)
    for entry in entries:
        inner = entry.get("value")
        value = inner if isinstance(inner, dict) else entry
        kind = text_of(entry.get("type")) or _kind(value)
        name = _name(value) or names.get(text_of(entry.get("id")), "")
        if kind in _BRUSHES:
            made.drop(BRUSH, name)
        elif kind in _POINTS:
            made.drop(NO_AREA, f"{name}, {kind}")
        elif kind not in ("labels", "choices", "textarea", "rating", "number", "relation"):
            _add(made, name, kind.removesuffix("labels"), value)
    return made.found


def _names_of_regions(entries: Iterable[Entry]) -> dict[str, str]:
    """Id of a region -> its class, where shape and class are entries of their own."""
    found: dict[str, str] = {}
    for entry in entries:
        value = entry.get("value")
        name = _name(value) if isinstance(value, dict) else ""
        if name:
            found.setdefault(text_of(entry.get("id")), name)
    return found


def _name(value: Entry) -> str:
    for key in _LABEL_KEYS:
        names = value.get(key)
        if isinstance(names, list) and names:
            return text_of(names[0])
    return ""


def _kind(value: Entry) -> str:
    """The kind of a region of JSON-MIN."""
    return next((key for key in (*_LABEL_KEYS, *_BRUSHES, *_POINTS) if key in value), "")


def _add(made: ShapeMaker, name: str, kind: str, value: Entry) -> None:
    """Add a shape given in percent of the picture."""
    height, width = (side / 100 for side in made.size)
    degrees = number_of(value.get("rotation")) or 0.0
    if kind == "polygon":
        points = points_of(value.get("points"))
        if points is not None:
            made.polygon(name, points * [width, height])
            return
    elif kind == "rectangle" and (box := _four(value, "x", "y", "width", "height")) is not None:
        x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        if is_upright(degrees):
            made.box(name, (x, y, x + w, y + h))
        else:
            turn = math.radians(degrees)
            made.rotated(name, rectangle((x, y, x + w, y + h), turn, about_corner=True))
        return
    elif kind == "ellipse" and (ring := _four(value, "x", "y", "radiusX", "radiusY")) is not None:
        scale = np.array([width, height])
        centre, radii = np.array(ring[:2]) * scale, np.array(ring[2:]) * scale
        made.ellipse(name, centre, radii, math.radians(degrees))
        return
    made.drop(NOT_NUMBERS, f"{name}, {kind}")


def _four(value: Entry, *keys: str) -> tuple[float, ...] | None:
    numbers = tuple(number_of(value.get(key)) for key in keys)
    return None if None in numbers else tuple(number for number in numbers if number is not None)


SOURCE = Source(
    recognise=_recognise,
    read=_read,
    looked_for="Label Studio (.json files with a list of tasks)",
)
