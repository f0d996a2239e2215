"""The files of a source, found once and without following what is hidden."""

import gzip
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.engine import file_kinds
from app.engine.data.formats._coco_names import has_image_suffix
from app.engine.data.formats._text import decode
from app.engine.errors import DatasetError

PREPARED = "prepared.json"
"""A folder below the source with this file was made by `detex prepare`; it is no part of it."""

_HEAD_BYTES = 1 << 16
_NUM_LOOKED_AT = 50


@dataclass(frozen=True)
class Place:
    """Where a source lies.

    root        the folder of the source; of a source that is one file, that file's folder
    files       its files, sorted by path; of a source that is one file, that file alone
    images      its images, sorted by path
    image_root  the folder below which they are, usually `root`
    """

    root: Path
    files: tuple[Path, ...]
    images: tuple[Path, ...]
    image_root: Path

    @classmethod
    def of(cls, source: Path, images: Path | None = None) -> "Place":
        """Look through a folder, or find the images for a single file.

        images  the folder of the images if it is another one

        Raises DatasetError if a folder is not there or cannot be read.
        """
        for path in filter(None, (source, images)):
            if not path.exists():
                raise DatasetError(f"{path}: there is no such file or folder; check the path")
        root = source if source.is_dir() else source.parent
        files = tuple(_files_below(root))
        candidates = files if images is None else _files_below(images)
        found = tuple(path for path in candidates if has_image_suffix(path.name))
        return cls(root, files if source.is_dir() else (source,), found, images or root)

    def with_suffix(self, *suffixes: str) -> list[Path]:
        """The files with one of these suffixes in lower case, maybe with `.gz` behind it."""
        return [path for path in self.files if plain_suffix(path) in suffixes]

    @cached_property
    def images_by_name(self) -> dict[str, list[Path]]:
        """Base name -> the images that have it."""
        found: dict[str, list[Path]] = {}
        for path in self.images:
            found.setdefault(path.name, []).append(path)
        return found

    def parts(self, path: Path) -> tuple[str, ...]:
        """The folders and the name of a path, from the source's folder or that of the images on."""
        for root in (self.root, self.image_root):
            if path.is_relative_to(root):
                return path.relative_to(root).parts
        return path.parts

    def shown(self, path: Path) -> str:
        """A path as messages show it: from the source's folder on."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def is_there(path: Path) -> bool:
    """Whether a path that a file names exists; False for names that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def plain_suffix(path: Path) -> str:
    """The suffix in lower case, without `.gz` after it."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def sample(paths: list[Path]) -> list[Path]:
    """At most fifty of the paths, spread evenly: enough to recognise a layout."""
    step = -(-len(paths) // _NUM_LOOKED_AT) or 1
    return paths[::step]


def head_of(path: Path) -> str:
    """The first 64 KiB of a file as text; '' if it cannot be read."""
    return decode(_read(path, _HEAD_BYTES))[0].lstrip("\ufeff \t\r\n")


def holds(path: Path, *words: str) -> bool:
    """Whether a file of any size contains all of these ASCII words, in quotes."""
    content = _read(path, None)
    if b"\0" in content[:4]:  # UTF-16 or UTF-32
        content = decode(content)[0].encode("utf-8", "replace")
    return all(f'"{word}"'.encode() in content for word in words)


def _read(path: Path, size: int | None) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(2)
            file.seek(0)
            if start == file_kinds.GZIP.content[:2]:
                with gzip.open(file) as unpacked:
                    return unpacked.read() if size is None else unpacked.read(size)
            return file.read() if size is None else file.read(size)
    except (OSError, EOFError):
        return b""


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield regular files in a fixed order; names that begin with a dot are left out.

    Links to folders are followed, but no folder is entered twice.
    """
    seen: set[str] = set()
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise DatasetError(
            f"{folder}: the folder cannot be read ({error.strerror}); check the path and its rights"
        ) from error
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(_visible(folders))
        if PREPARED in names and Path(root) != folder:
            folders.clear()
            continue
        for name in sorted(_visible(names)):
            path = Path(root, name)
            if path.is_file():
                yield path


def _visible(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(".") and name != "__MACOSX"]
