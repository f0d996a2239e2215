"""COCO: one or several JSON files, whose images may lie in several folders.

Categories are joined by their names over all files. An image that several files list has the
objects of all of them, each once.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from app.engine.data.formats._coco_file import CocoFile, read_coco, without_collecting
from app.engine.data.formats._coco_folder import find_images
from app.engine.data.formats._coco_names import as_elsewhere
from app.engine.data.formats._coco_objects import ObjectReader
from app.engine.data.formats.coco import read_images
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.structures.class_names import plain_name
from app.engine.structures.record import ImageRecord
from app.exchange.sources._objects import objects_of, with_objects
from app.exchange.sources._place import Place, head_of, holds
from app.exchange.sources._source import (
    Content,
    Request,
    Source,
    Split,
    assign,
    counted,
    renumbered,
    tell_unlabelled,
)
from app.exchange.sources._splits import split_of_path, splits_of_folders

OTHER_JSON = "JSON file that is no COCO file with categories (not read)"
KEYPOINTS = "object with keypoints (its box and mask are kept)"
SEVERAL_FILES = "image that several COCO files list (with the objects of all)"
REPEATED = "object that another COCO file has, too (used once)"

_ORDER: tuple[Split | None, ...] = ("train", "val", "test", None)


def _recognise(place: Place) -> str:
    files = _coco_files(place)
    return counted(len(files), "COCO file", place.shown(files[0])) if files else ""


def _coco_files(place: Place) -> list[Path]:
    files = place.with_suffix(".json")
    return [
        path
        for path in files
        if head_of(path)[:1] in ("{", "[") and holds(path, "images", "categories")
    ]


def _read(request: Request) -> Content:
    place, reading = request.place, request.reading()
    problems = reading.problems
    with without_collecting():
        files = _files(place, problems)
        class_names = _class_names(files)
        reading = replace(reading, class_names=class_names)
        numbers = {name: number for number, name in enumerate(class_names)}
        records: dict[Path, ImageRecord] = {}
        splits: dict[Path, Split] = {}
        listed: set[Path] = set()
        for file in files:
            objects = ObjectReader(file, lambda c: numbers[plain_name(c.name or "")], problems)
            found = find_images(file, image_folder(file, place), problems)
            listed |= {path for _, path, _ in found}
            split = split_of_path(file.path, place)
            for path, record in read_images(objects, found, reading).items():
                if split is not None:
                    assign(splits, path, split, problems)
                records[path] = _joined(records.get(path), record, problems)
    _tell_keypoints(files, problems)
    content = Content(
        renumbered([records[path] for path in sorted(records)]),
        reading,
        splits or splits_of_folders(records, place),
        is_xywh=True,
    )
    tell_unlabelled(content, place, used=listed)
    return content


def _files(place: Place, problems: Problems) -> list[CocoFile]:
    """The files of the sets in their order; other JSON files are counted."""
    paths = _coco_files(place)
    for path in place.with_suffix(".json"):
        if path not in paths:
            problems.add(OTHER_JSON, place.shown(path))
    if not paths:
        raise DatasetError(f"{place.root}: no JSON file here has images and categories")
    paths.sort(key=lambda path: _ORDER.index(split_of_path(path, place)))
    return [read_coco(path, problems) for path in paths]


def _class_names(files: Iterable[CocoFile]) -> list[str]:
    """The names of all categories: those of the first file by id, then what others add."""
    names: dict[str, None] = {}
    for file in files:
        for category in file.categories:
            name = plain_name(category.name or "")
            if not name:
                raise DatasetError(f"{file.path}: category {category.key} has no name; give it one")
            names[name] = None
    return list(names)


def image_folder(file: CocoFile, place: Place) -> Path:
    """The folder from which on the file names its images.

    It is a folder in which all of them lie. If none is, it is the whole place, which is searched,
    unless some name is that of several images: then the folder with most of them, where a folder
    of the same set as the file comes first.
    """
    wanted = split_of_path(file.path, place)
    names = [as_elsewhere(image.name) for image in file.images.values() if image.name]
    counts: Counter[Path] = Counter()
    is_ambiguous = False
    for parts in names:
        folders = [
            Path(*image.parts[: -len(parts)])
            for image in place.images_by_name.get(parts[-1] if parts else "", ())
            if image.parts[-len(parts) :] == parts
        ]
        counts.update(folders)
        is_ambiguous |= len(folders) > 1
    if not counts:
        return place.image_root

    def fit(folder: Path) -> tuple[bool, int, bool]:
        is_same_set = wanted is not None and split_of_path(folder / "_", place) == wanted
        is_beside = folder == file.path.parent
        return is_same_set and 2 * counts[folder] >= len(names), counts[folder], is_beside

    best = max(sorted(counts), key=fit)
    return best if counts[best] == len(names) or is_ambiguous else place.image_root


def _joined(first: ImageRecord | None, other: ImageRecord, problems: Problems) -> ImageRecord:
    """One record with the objects of two, each class and box once."""
    if first is None:
        return other
    problems.add(SEVERAL_FILES, str(other.path))
    objects = objects_of(first)
    known = {(one.class_id, one.box) for one in objects}
    for one in objects_of(other):
        if (one.class_id, one.box) in known:
            problems.add(REPEATED, str(other.path), Effect.DROPPED)
        else:
            objects.append(one)
    return with_objects(first, objects)


def _tell_keypoints(files: Iterable[CocoFile], problems: Problems) -> None:
    for file in files:
        for image in file.images.values():
            for entry in file.annotations[image.key]:
                if entry.get("keypoints"):
                    problems.add(KEYPOINTS, f"{image.name} in {file.path.name}", Effect.CHANGED)


SOURCE = Source(
    recognise=_recognise,
    read=_read,
    looked_for='COCO (.json files with "images" and "categories")',
)
