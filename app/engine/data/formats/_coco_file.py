"""Read a COCO file as one object with an index of its images, annotations and categories.

Raises errors only if it is unclear which image or class annotations belong to; `_coco_objects`
counts mistakes in single annotations.
"""

import gc
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.engine import file_kinds
from app.engine.data.formats._text import read_regular
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.structures.size import Size

Entry = dict[str, Any]
Key = int | str
"""An id in the form in which ids are compared: `"1"`, `1.0` and `1` are the same number."""

UNKNOWN_IMAGE = "annotation of an image that the file does not list (dropped)"
SHARED_IMAGE_ID = "two images of the file share an id, so that nobody knows whose boxes are whose"

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.0{0,40})?", re.ASCII)
_LISTS = ("images", "annotations", "categories")
_NAME_KEYS = ("file_name", "filename", "path", "coco_url", "url", "name")


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One entry of `images`.

    key       its id
    name      its file name as written in the file; "" if there is none
    size      annotated (height, width); None if there is none
    image_id  its id in messages and result files: texts are kept as written
    entry     the whole entry
    """

    key: Key
    name: str
    size: Size | None
    image_id: int | str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Category:
    """One entry of `categories`; `name` is None if there is none."""

    key: Key
    name: str | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class CocoFile:
    """The content of one file.

    images       by key, in the order of the file
    annotations  lists in the order of the file, by the key of their image
    categories   sorted by id, each id once
    writer       `info.contributor`
    """

    path: Path
    images: dict[Key, CocoImage]
    annotations: dict[Key, list[Entry]]
    categories: list[Category]
    writer: str


@contextmanager
def without_collecting() -> Iterator[None]:
    """Turn garbage collection off: JSON makes no reference cycles, but so many objects that
    searching them for cycles takes a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_coco(path: Path, problems: Problems) -> CocoFile:
    """Read a file; raises DatasetError if it is no COCO file."""
    return index_coco(read_content(path), path, problems)


def read_content(path: Path) -> Entry:
    """Read the object in a COCO file, with lists of `images`, `annotations` and `categories`.

    Raises DatasetError if the file cannot be read or has another content.
    """
    content = _parsed(_bytes(path), path)
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        content = content[0]
    if not isinstance(content, dict):
        raise DatasetError(
            f"{path}: not a COCO file: it holds a {_kind(content)} in place of an object with"
            " images, annotations and categories; check the path"
        )
    return {**content, **{key: _entries(content.get(key), key, path) for key in _LISTS}}


def index_coco(content: Entry, path: Path, problems: Problems) -> CocoFile:
    """Make an index of the content that `read_content` returned."""
    for key in ("images", "categories"):
        if content[key] is None:
            others = [name for name, value in content.items() if value is not None][:8]
            raise DatasetError(
                f"{path}: not a COCO file: it has no {key} but {', '.join(others) or 'nothing'};"
                " check the path"
            )
    images = _images(content["images"], path, problems)
    info = content.get("info")
    return CocoFile(
        path=path,
        images=images,
        annotations=_annotations(content["annotations"] or [], images, path, problems),
        categories=read_categories(content["categories"], path),
        writer=str(info.get("contributor", "")) if isinstance(info, dict) else "",
    )


def id_key(value: Any) -> Key | None:
    """The key of an id; None for values that are no ids (null, true, 1.5, a list)."""
    if type(value) is int:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    return int(text.partition(".")[0]) if _WHOLE_NUMBER.fullmatch(text) else text or None


def read_categories(entries: Iterable[Any], path: Path) -> list[Category]:
    """Categories sorted by id; repeated entries of the same id and name count once."""
    found: dict[Key, Category] = {}
    for number, entry in enumerate(entries):
        key = id_key(entry.get("id")) if isinstance(entry, dict) else None
        if key is None:
            raise DatasetError(
                f"{path}: categories[{number}] has no id that is a number or a text; correct it"
            )
        name = entry.get("name")
        category = Category(key, None if name is None else str(name).strip(), entry)
        if found.setdefault(key, category).name != category.name:
            raise DatasetError(
                f"{path}: two categories share an id: {key} is {found[key].name} and"
                f" {category.name}; give each its own"
            )
    return sorted(found.values(), key=lambda category: sort_key(category.key))


def sort_key(key: Key) -> tuple[bool, int | str]:
    """Sort key that orders numbers before texts."""
    return isinstance(key, str), key


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"{path}: cannot be read ({reason}); check the path") from error


def _parsed(data: bytes, path: Path) -> Any:
    """Parse JSON in any Unicode encoding, maybe compressed by gzip."""
    try:
        if data.startswith(file_kinds.GZIP.content):
            data = gzip.decompress(data)
        if any(data.count(f'"{key}"'.encode()) > 1 for key in _LISTS):
            return json.loads(data, object_pairs_hook=_without_repeats)
        return json.loads(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path}: damaged gzip file ({error}); get it again") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not valid JSON ({error}); correct it, or get it again") from (
            error
        )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; raise ValueError for a repeated list, of which json would keep the last."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [key for key, _ in pairs]
        for key in _LISTS:
            if names.count(key) > 1:
                raise ValueError(f"{key} stands in one object twice")
    return content


def _entries(value: Any, key: str, path: Path) -> list[Any] | None:
    """Return `value` as a list of entries: it may be a list, one entry or a mapping from ids."""
    if value is None or isinstance(value, list):
        return value
    if isinstance(value, dict):
        if "id" in value or "image_id" in value:
            return [value]
        if all(isinstance(entry, dict) for entry in value.values()):
            return [{"id": number, **entry} for number, entry in value.items()]
    raise DatasetError(f"{path}: {key} is a {_kind(value)} in place of a list; correct it")


def _kind(value: Any) -> str:
    kinds = {list: "list", dict: "mapping", str: "text", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")


def _images(entries: Iterable[Any], path: Path, problems: Problems) -> dict[Key, CocoImage]:
    images: dict[Key, CocoImage] = {}
    for number, entry in enumerate(entries):
        key = id_key(entry.get("id")) if isinstance(entry, dict) else None
        if key is None:
            raise DatasetError(
                f"{path}: images[{number}] has no id that is a number or a text; correct it"
            )
        image_id = entry["id"] if isinstance(entry["id"], str) else key
        image = CocoImage(key, _name(entry), _size(entry), image_id, entry)
        if key in images:
            both = f"{key}: {images[key].name} and {image.name} in {path}"
            problems.add(
                SHARED_IMAGE_ID, both, Effect.STOPS, remedy="give each image an id of its own"
            )
        else:
            images[key] = image
    return images


def _name(entry: Entry) -> str:
    for key in _NAME_KEYS:
        name = entry.get(key)
        if name not in (None, "") and isinstance(name, str | int):
            return str(name)
    return ""


def _size(entry: Entry) -> Size | None:
    try:
        height, width = float(entry["height"]), float(entry["width"])
        size = int(height), int(width)
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None


def _annotations(
    entries: Iterable[Any], images: dict[Key, CocoImage], path: Path, problems: Problems
) -> dict[Key, list[Entry]]:
    by_image: dict[Key, list[Entry]] = {key: [] for key in images}
    ids, count = set(), 0
    for entry in entries:
        if not isinstance(entry, dict):
            told = f"a {_kind(entry)} in {path}"
            problems.add("annotation that is no object (dropped)", told, Effect.DROPPED)
            continue
        image_id, own_id = entry.get("image_id"), entry.get("id")
        key = image_id if type(image_id) is int else id_key(image_id)
        found = by_image.get(key) if key is not None else None
        if found is None:
            told = f"image_id {_short(image_id)} in {path}"
            problems.add(UNKNOWN_IMAGE, told, Effect.DROPPED)
        else:
            found.append(entry)
        if type(own_id) is int:
            ids.add(own_id)
            count += 1
    if len(ids) < count:
        # COCO's 2014 minival has such annotations; results are not affected.
        problems.add("annotations that share an id (no harm)", f"{count - len(ids)} in {path}")
    return by_image


def _short(value: Any) -> str:
    return str(value) if isinstance(value, int | float | str) else f"that is a {_kind(value)}"
