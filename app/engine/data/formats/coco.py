"""COCO JSON as the platform writes it: one file for everything, split by the index.

Images are found by base name (`file_name` has no directory), classes by category name. An object
may have no mask (`{}`), polygons, or run-length code; without a box its mask gives one.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from app.engine.data.formats._reading import Reading
from app.engine.data.formats._records import (
    UNKNOWN_CLASS,
    ParsedObject,
    build_record,
    class_ids_by_name,
    read_annotation,
    readable_pairs,
)
from app.engine.data.problems import Effect, Problems
from app.engine.structures.boxes import Size
from app.engine.structures.sample import ImageRecord, Segmentation


@dataclass(frozen=True, slots=True)
class _File:
    """Annotations of one JSON file by base name of the image; class of each category id."""

    annotations: dict[str, list[dict[str, Any]]]
    classes: dict[Any, int]
    path: Path


def read(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
    """Records of (image, annotation) pairs; the annotation is usually the same file everywhere."""
    class_names, problems = reading.class_names, reading.problems
    files: dict[Path, _File | None] = {}
    records: list[ImageRecord] = []
    for image, annotation, header in readable_pairs(pairs, problems):
        if annotation not in files:
            files[annotation] = _load(annotation, class_names, problems)
        file = files[annotation]
        if file is None:
            problems.add("image without a usable COCO file (left out)", str(image), Effect.BROKEN)
            continue
        found = file.annotations.get(image.name, file.annotations.get(f"{image.stem}."))
        if found is None:
            problems.add(
                "image that the annotation file does not list (left out)",
                str(image),
                Effect.BROKEN,
            )
            continue
        objects = _objects(found, file, header.size, problems)
        records.append(
            build_record(image, header.size, objects, image_id=len(records), reading=reading)
        )
    return records


def _load(path: Path, class_names: Sequence[str], problems: Problems) -> _File | None:
    data = read_annotation(path, problems)
    if data is None:
        return None
    try:
        content = json.loads(data)
        images, categories = content["images"], content["categories"]
        annotations = list(content.get("annotations", []))
        names = {entry["id"]: PurePosixPath(str(entry["file_name"])).name for entry in images}
        classes = _classes(categories, class_names, problems)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        problems.add("annotation file is not COCO JSON", str(path))
        return None
    by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for entry in annotations:
        image_id = entry.get("image_id") if isinstance(entry, dict) else None
        name = names.get(image_id) if isinstance(image_id, int | str) else None
        if name is None:
            problems.add(
                "annotation of an image that the file does not list (dropped)",
                str(path),
                Effect.DROPPED,
            )
        else:
            by_name[name].append(entry)
    # The extension comes from the detected type and may differ from the listed one.
    stems = defaultdict(list)
    for name in by_name:
        stems[f"{PurePosixPath(name).stem}."].append(by_name[name])
    by_name.update({stem: same[0] for stem, same in stems.items() if len(same) == 1})
    return _File(by_name, classes, path)


def _classes(
    categories: list[dict[str, Any]], class_names: Sequence[str], problems: Problems
) -> dict[Any, int]:
    by_name = class_ids_by_name(class_names)
    classes = {}
    for category in categories:
        name = str(category["name"]).strip()
        class_id = by_name.get(name.lower())
        if class_id is not None:
            classes[category["id"]] = class_id
    return classes


def _objects(
    annotations: list[dict[str, Any]], file: _File, size: Size, problems: Problems
) -> Iterator[ParsedObject]:
    for entry in annotations:
        category = entry.get("category_id")
        class_id = file.classes.get(category) if isinstance(category, int | str) else None
        if class_id is None:
            problems.add(UNKNOWN_CLASS, f"category {category} in {file.path}", Effect.DROPPED)
            continue
        segmentation = parse_segmentation(entry.get("segmentation"), size)
        if segmentation is None and entry.get("segmentation"):
            problems.add(
                "mask that is neither polygons nor RLE of the image's size", str(file.path)
            )
        box_xywh = entry.get("bbox") or _mask_box_xywh(segmentation, size)
        try:
            x, y, width, height = (float(value) for value in box_xywh or ())
        except (TypeError, ValueError, OverflowError):
            problems.add(
                "object without a box of four numbers (dropped)", str(file.path), Effect.DROPPED
            )
            continue
        crowd = bool(entry.get("iscrowd", 0))
        yield ParsedObject(
            class_id, (x, y, x + width, y + height), crowd=crowd, segmentation=segmentation
        )


def parse_segmentation(value: Any, size: Size) -> Segmentation | None:
    """Polygons of three or more points, or compressed RLE; None for `{}` and what is broken."""
    if isinstance(value, dict):
        return _parse_rle(value, size)
    if not isinstance(value, list):
        return None
    polygons = [polygon for polygon in map(_parse_polygon, value) if polygon is not None]
    return polygons or None


def _parse_polygon(value: Any) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    try:
        polygon = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    valid = polygon.ndim == 1 and len(polygon) >= 6 and len(polygon) % 2 == 0
    return polygon if valid and bool(np.isfinite(polygon).all()) else None


def _parse_rle(value: dict[str, Any], size: Size) -> dict[str, Any] | None:
    counts = value.get("counts")
    if value.get("size") != list(size) or not counts:
        return None
    height, width = size
    if isinstance(counts, list):
        # The C code trusts its input: runs must be whole numbers that fill the image.
        if not all(isinstance(run, int) and run >= 0 for run in counts):
            return None
        if sum(counts) != height * width:
            return None
        code = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        return {"size": [height, width], "counts": code["counts"]}
    if isinstance(counts, str):
        counts = counts.encode("ascii", errors="replace")
    is_whole = isinstance(counts, bytes) and _fills(counts, size)
    return {"size": [height, width], "counts": counts} if is_whole else None


def _fills(counts: bytes, size: Size) -> bool:
    """Whether compressed runs add up to the image; decoding others would read wild memory."""
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(counts) or not 48 <= counts[position] < 112 or shift > 60:
                return False
            code = counts[position] - 48
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            position, shift = position + 1, shift + 5
            if not more and code & 0x10:
                value |= -1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            return False
        runs.append(value)
    return sum(runs) == math.prod(size)


def _mask_box_xywh(segmentation: Segmentation | None, size: Size) -> list[float] | None:
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return [float(value) for value in coco_mask.toBbox(segmentation)]
    points = np.concatenate(segmentation).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]
