"""YOLO: a data.yaml, or a list of class names, and a text file for each image.

The folders `images` and `labels` mirror each other. An image without a label file is one without
objects, as YOLO's trainers read it.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from app.engine.data.datasets.coco import empty_record
from app.engine.data.formats import FORMATS, Reading, looks_like_yolo
from app.engine.data.formats._records import readable_pairs
from app.engine.data.formats._text import decode
from app.engine.data.problems import Effect
from app.engine.errors import DatasetError
from app.engine.structures.class_names import plain_name
from app.engine.structures.record import ImageRecord
from app.exchange.sources._pairing import NO_IMAGE
from app.exchange.sources._place import Place, sample
from app.exchange.sources._source import Content, Request, Source, Split, counted, renumbered
from app.exchange.sources._splits import splits_of_folders
from app.exchange.sources._yolo_yaml import class_names_of, images_of, read_description, read_names

NO_LABELS = "image without a label file (kept as one without objects, as YOLO's trainers read it)"
UNLISTED = "image that data.yaml does not list (left out)"

_CLASS_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
_IMAGES, _LABELS = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"


def _recognise(place: Place) -> str:
    described = _descriptions(place)
    if described:
        return counted(len(described), "data.yaml", place.shown(described[0]))
    lists = _class_lists(place)
    if lists and looks_like_yolo(sample(_label_files(place))):
        return f"class names in {place.shown(lists[0])} and label files"
    return ""


def _read(request: Request) -> Content:
    place, reading = request.place, request.reading()
    described = _descriptions(place)
    splits: Mapping[Path, Split] = {}
    if described:
        path = _only(described, place)
        content = read_description(path)
        class_names = class_names_of(content, path)
        splits = images_of(content, path, reading.problems)
        for image in place.images:
            if image not in splits:
                reading.problems.add(UNLISTED, place.shown(image), Effect.LEFT_OUT)
    else:
        path = _only(_class_lists(place), place)
        is_yaml = path.suffix in (".yaml", ".yml")
        class_names = class_names_of(read_names(path), path) if is_yaml else _names_in(path)
    images = sorted(splits or place.images)
    reading = replace(reading, class_names=class_names)
    records = _records(images, place, reading)
    return Content(records, reading, dict(splits) or splits_of_folders(images, place))


def _records(images: Iterable[Path], place: Place, reading: Reading) -> list[ImageRecord]:
    """Raises DatasetError if no image has a label file."""
    labels = {image: label_of(image) for image in images}
    labelled = [(image, label) for image, label in labels.items() if label.is_file()]
    if not labelled:
        image, label = next(iter(labels.items()))
        raise DatasetError(
            f"{place.root}: none of {len(labels)} images has a label file; that of"
            f" {image} should be {label}"
        )
    records = FORMATS["yolo"](labelled, reading)
    pairs = [(image, label) for image, label in labels.items() if not label.is_file()]
    for image, _, header in readable_pairs(pairs, reading.problems):
        reading.problems.add(NO_LABELS, place.shown(image))
        records.append(empty_record(image, header.size, 0))
    _tell_unused(place, [label for _, label in labelled], reading)
    return renumbered(sorted(records, key=lambda record: record.path))


def label_of(image: Path) -> Path:
    """The label file of an image: in the folder `labels` beside `images`, else beside the image."""
    text = str(image)
    if _IMAGES in text:
        mirrored = Path(_LABELS.join(text.rsplit(_IMAGES, 1))).with_suffix(".txt")
        if mirrored.is_file() or not image.with_suffix(".txt").is_file():
            return mirrored
    return image.with_suffix(".txt")


def _tell_unused(place: Place, used: Iterable[Path], reading: Reading) -> None:
    """Count the label files beside those used that belong to no image."""
    known = {label_of(image) for image in place.images}.union(used)
    folders = {label.parent for label in known}
    for path in _label_files(place):
        if path not in known and path.parent in folders:
            reading.problems.add(NO_IMAGE, place.shown(path), Effect.BROKEN)


def _descriptions(place: Place) -> list[Path]:
    return [path for path in place.with_suffix(".yaml", ".yml") if read_description(path)]


def _class_lists(place: Place) -> list[Path]:
    """Lists of names that say nothing about sets, with a data.yaml first, which has the numbers."""
    named = [path for path in place.with_suffix(".yaml", ".yml") if read_names(path)]
    return named or [path for path in place.files if path.name in _CLASS_LISTS]


def _label_files(place: Place) -> list[Path]:
    """The text files that are called as an image is."""
    stems = {image.stem for image in place.images}
    return [
        path
        for path in place.with_suffix(".txt")
        if path.name not in _CLASS_LISTS and (path.stem in stems or path.parent.name == "labels")
    ]


def _only(paths: list[Path], place: Place) -> Path:
    if not paths:
        raise DatasetError(
            f"{place.root}: no data.yaml with names, and no {_CLASS_LISTS[0]}; YOLO's label files"
            " have class numbers only, so write one of the two"
        )
    if len(paths) > 1:
        names = " and ".join(place.shown(path) for path in paths[:2])
        raise DatasetError(f"{place.root}: it holds {names}; give the one that counts as SOURCE")
    return paths[0]


def _names_in(path: Path) -> list[str]:
    names = [plain_name(line) for line in decode(path.read_bytes())[0].splitlines()]
    return [name for name in names if name]


SOURCE = Source(
    recognise=_recognise,
    read=_read,
    looked_for="YOLO (data.yaml with names, or classes.txt with label files)",
)
