"""The set that names of files and folders say: `train2017/`, `valid/`, `instances_test.json`."""

import re
from collections.abc import Iterable
from pathlib import Path

from app.exchange.sources._place import Place
from app.exchange.sources._source import Split

_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "minival", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_WORD = re.compile(r"[a-z]+")


def split_of_name(name: str) -> Split | None:
    """The set that a file or folder is named after; None for none or several."""
    found = {_WORDS[word] for word in _WORD.findall(name.lower()) if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def split_of_path(path: Path, place: Place) -> Split | None:
    """The set that a file, or else the innermost of its folders, is named after."""
    names = [path.stem, *reversed(place.parts(path)[:-1])]
    return next((split for name in names if (split := split_of_name(name)) is not None), None)


def splits_of_folders(images: Iterable[Path], place: Place) -> dict[Path, Split]:
    """The set of each image by the folders that it lies in, if they name at least two sets."""
    found: dict[Path, Split] = {}
    by_folder: dict[Path, Split | None] = {}
    for image in images:
        folder = image.parent
        if folder not in by_folder:
            by_folder[folder] = split_of_path(folder / "_", place)
        split = by_folder[folder]
        if split is not None:
            found[image] = split
    return found if len(set(found.values())) > 1 else {}
