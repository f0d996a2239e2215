"""A COCO file as one object with an index: its images, their annotations, its categories.

Only what leaves open which annotation belongs to which image or class is an error here; what is
wrong with a single annotation is for `_coco_objects`.
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

from app.engine.data.formats._text import read_regular
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.structures.size import Size

Entry = dict[str, Any]
Key = int | str
"""An id as it is compared: `"1"`, `1.0` and `1` are the same number."""

UNKNOWN_IMAGE = "annotation of an image that the file does not list (dropped)"
SHARED_IMAGE_ID = "two images of the file share an id, so that nobody knows whose boxes are whose"

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.0{0,40})?", re.ASCII)
_LISTS = ("images", "annotations", "categories")
_NAME_KEYS = ("file_name", "filename", "path", "coco_url", "url", "name")


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One entry of `images`.

    key       its id
    name      its file name as the file has it; "" where it has none
    size      annotated (height, width); None where the file does not say it
    image_id  its id for people and results files: a text stays as it is
    entry     all of it
    """

    key: Key
    name: str
    size: Size | None
    image_id: int | str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Category:
    """One entry of `categories`; `name` is None where the file gives none."""

    key: Key
    name: str | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class CocoFile:
    """What one file says.

    images       in the order of the file, by key
    annotations  of each image in the order of the file, by its key
    categories   by id, each id once
    writer       `info.contributor`
    """

    path: Path
    images: dict[Key, CocoImage]
    annotations: dict[Key, list[Entry]]
    categories: list[Category]
    writer: str


@contextmanager
def without_collecting() -> Iterator[None]:
    """Python's search for objects that hold each other is off: JSON makes none of them, but so many
    others that looking through them again and again takes a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_coco(path: Path, problems: Problems) -> CocoFile:
    """The file; DatasetError where it is none."""
    return index_coco(read_content(path), path, problems)


def read_content(path: Path) -> Entry:
    """The object in a COCO file, with lists of `images`, `annotations` and `categories`.

    Raises DatasetError where there is no such file or something else in it.
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
    """What `read_content` gives, with an index."""
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
    """An id as it is compared, None for what is none (null, true, 1.5, a list)."""
    if type(value) is int:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    return int(text.partition(".")[0]) if _WHOLE_NUMBER.fullmatch(text) else text or None


def read_categories(entries: Iterable[Any], path: Path) -> list[Category]:
    """Categories by id; one that is repeated word for word counts once."""
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
    """Orders numbers before texts."""
    return isinstance(key, str), key


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"{path}: cannot be read ({reason}); check the path") from error


def _parsed(data: bytes, path: Path) -> Any:
    """The value in JSON of any Unicode encoding, maybe compressed by gzip."""
    try:
        if data.startswith(b"\x1f\x8b"):
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
    """An object; ValueError where it has two lists of one name, of which json keeps the last."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [key for key, _ in pairs]
        for key in _LISTS:
            if names.count(key) > 1:
                raise ValueError(f"{key} stands in one object twice")
    return content


def _entries(value: Any, key: str, path: Path) -> list[Any] | None:
    """A list as it is; what should be one and is a single entry, or a mapping from ids, as one."""
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
        # COCO's 2014 minival is known for it; results are not affected.
        problems.add("annotations that share an id (no harm)", f"{count - len(ids)} in {path}")
    return by_image


def _short(value: Any) -> str:
    return str(value) if isinstance(value, int | float | str) else f"that is a {_kind(value)}"
