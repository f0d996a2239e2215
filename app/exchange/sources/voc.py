"""PASCAL VOC: one XML file for each image, with lists of the sets in ImageSets/Main or without."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.engine.data.formats import FORMATS
from app.engine.data.formats._text import decode
from app.engine.data.formats._voc_file import read_file
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.structures.class_names import plain_name
from app.exchange.sources._pairing import ImageFinder, pairs
from app.exchange.sources._place import Place, head_of, sample
from app.exchange.sources._source import (
    Content,
    Request,
    Source,
    Split,
    assign,
    counted,
    tell_unlabelled,
)
from app.exchange.sources._splits import splits_of_folders

UNLISTED = "image that no list of ImageSets/Main names (left out)"

_ROOT_ELEMENT = re.compile(r"<annotation[\s>]", re.IGNORECASE)
_MEMBERSHIP = re.compile(r"\s+-?[01]$")
_LISTS: dict[str, Split] = {"train": "train", "val": "val", "test": "test", "trainval": "train"}


def _recognise(place: Place) -> str:
    files = place.with_suffix(".xml")
    if not any(_ROOT_ELEMENT.search(head_of(path)[:2000]) for path in sample(files)):
        return ""
    return counted(len(files), "VOC file", place.shown(files[0]))


def _read(request: Request) -> Content:
    place, reading = _pictures_only(request.place), request.reading()
    problems = reading.problems
    finder = ImageFinder(place)
    files = place.with_suffix(".xml")
    found = pairs(
        ((path, finder.find(path, partial(_filename, path))) for path in files), place, problems
    )
    splits = _listed(place, [image for image, _ in found], problems)
    for image, _ in found if splits else ():
        if image not in splits:
            problems.add(UNLISTED, place.shown(image), Effect.LEFT_OUT)
    wanted = [(image, path) for image, path in found if not splits or image in splits]
    reading = replace(reading, class_names=class_names_in([path for _, path in wanted]))
    records = FORMATS["voc"](wanted, reading)
    content = Content(records, reading, splits or splits_of_folders(place.images, place))
    tell_unlabelled(content, place, used={image for image, _ in found})
    return content


def _pictures_only(place: Place) -> Place:
    """The place without PASCAL's label maps, which are images, too."""
    pictures = tuple(path for path in place.images if "JPEGImages" in path.parts)
    return replace(place, images=pictures) if pictures else place


def class_names_in(files: Iterable[Path]) -> list[str]:
    """The names of the classes in VOC files, sorted."""
    found = (read_file(path, Problems()) for path in files)
    names = {plain_name(name) for file in found if file is not None for name in file.names}
    return sorted(names - {""})


def _filename(path: Path) -> str:
    file = read_file(path, Problems())
    return "" if file is None else file.filename


def _listed(place: Place, images: Iterable[Path], problems: Problems) -> dict[Path, Split]:
    """The sets of ImageSets/Main; empty if there are no lists.

    Raises DatasetError if none of the listed names is that of an image.
    """
    by_stem: dict[str, list[Path]] = {}
    for image in images:
        by_stem.setdefault(image.stem, []).append(image)
    splits: dict[Path, Split] = {}
    lists = {path.stem: path for path in place.with_suffix(".txt") if _is_list(path)}
    for name, split in _LISTS.items():
        for stem in _names(lists[name]) if name in lists else ():
            for image in by_stem.get(stem, ()):
                if name == "trainval":  # the two other lists, or all there is
                    splits.setdefault(image, split)
                else:
                    assign(splits, image, split, problems)
    used = [place.shown(lists[name]) for name in _LISTS if name in lists]
    if used and by_stem and not splits:
        raise DatasetError(
            f"{place.root}: {' and '.join(used)} name no image with a VOC file; correct the lists,"
            " or move ImageSets away to have the images divided anew"
        )
    return splits


def _is_list(path: Path) -> bool:
    return path.stem in _LISTS and [part.lower() for part in path.parts[-3:-1]] == [
        "imagesets",
        "main",
    ]


def _names(path: Path) -> list[str]:
    """The names without folders and suffixes; a list of one class has 1, 0 or -1 after each."""
    lines = decode(path.read_bytes())[0].splitlines()
    names = [_MEMBERSHIP.sub("", line.strip()) for line in lines if line.strip()]
    return [_without_suffix(name.replace("\\", "/").rpartition("/")[2]) for name in names]


def _without_suffix(name: str) -> str:
    return name[:-4] if name.lower().endswith((".jpg", ".png", ".xml")) else name


SOURCE = Source(
    recognise=_recognise,
    read=_read,
    looked_for="PASCAL VOC (.xml files with <annotation>)",
)
