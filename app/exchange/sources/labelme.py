"""LabelMe: one JSON file for each image, which may contain the image itself (`imageData`).

Its window shows photographs as EXIF turns them, so its numbers are pixels of the shown picture.
Polygons of one label and `group_id` are one object, as in its own conversion to COCO.
"""

import base64
import binascii
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.data.formats._coco_names import as_elsewhere, has_image_suffix
from app.engine.data.images.decoding import DECODER_ERRORS, decode, image_suffixes
from app.engine.data.problems import Effect, Problems
from app.engine.errors import ImageError
from app.engine.structures.size import Size
from app.exchange.sources._drawings import (
    NO_AREA,
    NOT_NUMBERS,
    Drawing,
    Shape,
    ShapeMaker,
    annotated_size,
    content_of,
)
from app.exchange.sources._json import points_of, read_json, text_of
from app.exchange.sources._pairing import ImageFinder, pairs
from app.exchange.sources._place import Place, head_of, holds, is_there, sample
from app.exchange.sources._source import Content, Request, Source, counted

OTHER_JSON = "JSON file that is none of LabelMe (not read)"
EMBEDDED = "image that is only in its annotation file (taken from there)"
BROKEN_MASK = "bitmap that cannot be decoded (the box around it is taken)"

_DEPTH = 8  # folders of an image's new name, at most
_WITHOUT_AREA = ("point", "points", "line", "linestrip")

Entry = dict[str, Any]


def _recognise(place: Place) -> str:
    files = place.with_suffix(".json")
    found = [path for path in sample(files) if _is_labelme(path)]
    return counted(len(files), "LabelMe file", place.shown(found[0])) if found else ""


def _is_labelme(path: Path) -> bool:
    return head_of(path)[:1] == "{" and holds(path, "shapes", "imagePath")


def _read(request: Request) -> Content:
    place, reading = request.place, request.reading()
    problems = reading.problems
    finder = ImageFinder(place)
    drawings: dict[Path, Drawing] = {}
    candidates: list[tuple[Path, list[Path]]] = []
    for path in place.with_suffix(".json"):
        content = read_json(path, problems)
        if isinstance(content, dict) and isinstance(content.get("shapes"), list):
            candidates.append((path, _images(path, content, finder, request, problems)))
            drawings[path] = _drawing(content, path, problems)
        elif content is not None:
            problems.add(OTHER_JSON, place.shown(path))
    drawn = [(image, drawings[path]) for image, path in pairs(candidates, place, problems)]
    return content_of(drawn, place, reading)


def _images(
    path: Path, content: Entry, finder: ImageFinder, request: Request, problems: Problems
) -> list[Path]:
    """The image that the file names, else those of the same name, else the one in the file."""
    parts = as_elsewhere(text_of(content.get("imagePath")))
    named = path.parent.joinpath(*parts)
    if parts and has_image_suffix(named.name) and is_there(named):
        return [named]
    found = finder.find(path, lambda: parts[-1] if parts else "")
    if found:
        return found
    written = _written(path, content, request)
    if written is None:
        return []
    problems.add(EMBEDDED, request.place.shown(path))
    return [written]


def _written(path: Path, content: Entry, request: Request) -> Path | None:
    """Write the image in the file to the scratch folder; None if there is none."""
    data = _bytes(content.get("imageData"))
    kind = _kind(data)
    if not kind:
        return None
    below = Path(*request.place.parts(path)[-_DEPTH:])
    image = request.scratch / below.with_suffix(kind)
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(data)
    return image


def _kind(data: bytes) -> str:
    """The suffix for the content of an image; '' for anything else."""
    if not data:
        return ""
    try:
        kind = (Image.open(io.BytesIO(data)).format or "").lower()
    except DECODER_ERRORS:
        return ""
    suffix = {"jpeg": ".jpg", "tiff": ".tif"}.get(kind, f".{kind}")
    return suffix if suffix in image_suffixes() else ""


def _bytes(value: Any) -> bytes:
    """Decode base64; b'' for other values."""
    try:
        return base64.b64decode(value) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""


def _drawing(content: Entry, path: Path, problems: Problems) -> Drawing:
    size = annotated_size(content.get("imageHeight"), content.get("imageWidth"))
    shapes = partial(_shapes, content["shapes"], size, path.name, problems)
    return Drawing(text_of(content.get("imagePath")), path.name, shapes, size)


def _shapes(
    entries: Sequence[Any], size: Size | None, where: str, problems: Problems, shown: Size
) -> list[Shape]:
    made = ShapeMaker(size or shown, where, problems)
    for entry in entries:
        points = points_of(entry.get("points")) if isinstance(entry, dict) else None
        if points is None or not len(points):
            made.drop(NOT_NUMBERS, "a shape")
        else:
            _add(made, entry, points)
    return made.found


def _add(made: ShapeMaker, entry: Entry, points: npt.NDArray[np.float64]) -> None:
    name, kind = text_of(entry.get("label")), entry.get("shape_type") or "polygon"
    if kind == "polygon":
        made.polygon(name, points, text_of(entry.get("group_id")) or None)
    elif kind == "rotation":  # X-AnyLabeling's rotated box
        made.rotated(name, points)
    elif kind == "circle" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        made.ellipse(name, points[0], np.array([radius, radius]))
    elif kind == "rectangle" and len(points) > 1:
        made.box(name, (*points.min(axis=0).tolist(), *points.max(axis=0).tolist()))
    elif kind == "mask" and len(points) == 2:
        bits = _bits(_bytes(entry.get("mask")))
        if bits is None:
            made.problems.add(BROKEN_MASK, f"{made.where}: {name}", Effect.CHANGED)
            made.box(name, (*points.min(axis=0).tolist(), *points.max(axis=0).tolist()))
        else:
            left, top = points.min(axis=0).round().astype(int).tolist()
            made.bitmap(name, bits, left, top)
    else:
        what = f"{name}, {kind}"
        made.drop(NO_AREA if kind in _WITHOUT_AREA else NOT_NUMBERS, what)


def _bits(data: bytes) -> npt.NDArray[np.bool_] | None:
    """The pixels of a bitmap; None if it is broken or empty."""
    try:
        bits = np.asarray(decode(data).image.convert("L")) > 0 if data else None
    except (*DECODER_ERRORS, ImageError):
        return None
    return bits if bits is not None and bits.any() else None


SOURCE = Source(
    recognise=_recognise,
    read=_read,
    looked_for='LabelMe (.json files with "shapes" and "imagePath")',
)
