"""Which entry of a COCO file an image is: by the longest end that their two names share.

Names are compared as they are written, then as other programs and systems write them: each reading
is tried on what the ones before left over, and whatever needs one is told. An image that two
entries fit equally, or an entry that two images fit, stops the reading of the set.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, unquote

from app.engine.data.formats._coco_file import CocoImage
from app.engine.data.images.decoding import image_suffixes
from app.engine.data.problems import Effect, Problems

Parts = tuple[str, ...]
T = TypeVar("T")

TWO_ENTRIES = "image that two entries of the COCO file fit equally well"
TWO_IMAGES = "entry of the COCO file that two images fit equally well"
OTHER_FOLDER = "image found by the end of its name (the COCO file lists it in another folder)"
_REMEDY = "let file_name have the folder, too, and list each image once"

_MAX_PARTS = 1_000_000
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_UPLOAD_HASH = re.compile(r"([0-9a-f]{8}-)+(?=[^.])")
_LOST_IN_UPLOADS = re.compile(r"[^-\w.]")


@dataclass(frozen=True, slots=True)
class _Reading:
    """A way to read names.

    parts     folders and base name of a name
    told      what is told of an image that is found by it; "" for nothing
    is_strict whether a name that fits twice stops the reading of the set; else it fits nothing
    """

    parts: Callable[[str], Parts]
    told: str
    is_strict: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class _Named(Generic[T]):
    """An image's path, or an entry of the file, with the parts of its name."""

    parts: Parts
    of: T


_Images = list[_Named[Path]]
_Entries = list[_Named[CocoImage]]


def match_images(
    images: Sequence[Path], entries: Iterable[CocoImage], problems: Problems
) -> dict[Path, CocoImage | None]:
    """The entry of each image that the file lists; None where it is not known which it is.

    images  each once; those that are missing in the answer have no entry in the file
    """
    found: dict[Path, CocoImage | None] = {}
    left_images, left_entries = dict.fromkeys(images), {e.key: e for e in entries if e.name}
    for reading in _READINGS:
        for some_images, some_entries in _groups(left_images, left_entries.values(), reading):
            fits = len(some_images) == len(some_entries) == 1
            if fits:
                (image,), (entry,) = some_images, some_entries
                if not _tell(image, entry, reading, problems):
                    continue
                found[image.of] = entry.of
            elif reading.is_strict:
                paths = [image.of for image in some_images]
                count_shared(paths, [entry.of for entry in some_entries], problems)
                found |= dict.fromkeys(paths)
            if fits or reading.is_strict:
                for image in some_images:
                    del left_images[image.of]
                for entry in some_entries:
                    del left_entries[entry.of.key]
    return found


def as_written(name: str) -> Parts:
    """Parts of a path of this system."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def as_elsewhere(name: str) -> Parts:
    """The same for backslashes, blanks at the ends, letters in pieces, and steps upwards."""
    plain = unicodedata.normalize("NFC", name).replace("\\", "/")
    parts = [part.strip() for part in plain.split("/")]
    up = max((i for i, part in enumerate(parts) if part == ".."), default=-1)
    return tuple(part for part in parts[up + 1 :] if part not in ("", "."))


def as_address(name: str) -> Parts:
    """The same for addresses: without what follows ? and #, and with %20 and &amp; resolved.

    Label Studio's own addresses have the path in a parameter: `/data/local-files/?d=dir/name.jpg`.
    """
    if "?" in name:
        name, _, query = name.partition("?")
        values = [value for _, value in parse_qsl(query) if has_image_suffix(value)]
        name = values[0] if values and not has_image_suffix(name) else name
    if _SCHEME.match(name):
        name = name.partition("#")[0]
    for _ in range(3):  # some programs escape what was escaped before
        try:
            name = unquote(name, errors="strict")
        except UnicodeDecodeError:
            break
    return as_elsewhere(unescape(name))


def as_small_letters(name: str) -> Parts:
    """The same without regard to case."""
    return tuple(part.casefold() for part in as_address(name))


def without_suffix(name: str) -> Parts:
    """The same without the suffix of an image file: programs change it with the file's format."""
    *folders, base = as_small_letters(name) or ("",)
    return (*folders, PurePosixPath(base).stem if has_image_suffix(base) else base)


def without_upload_hash(name: str) -> Parts:
    """The same without the eight digits that Label Studio puts before the name of an upload, and as
    it keeps that name: "_" for a blank, nothing for other marks. What is uploaded again has more.
    """
    *folders, base = as_small_letters(name) or ("",)
    kept = _LOST_IN_UPLOADS.sub("", base.replace(" ", "_"))
    return (*folders, _UPLOAD_HASH.sub("", kept, count=1))


_READINGS = (
    _Reading(as_written, ""),
    _Reading(
        as_elsewhere, "image found by its name in another spelling (\\, blanks, Unicode form)"
    ),
    _Reading(as_address, "image found by its name as an address (file://, %20, &amp;, ?d=)"),
    _Reading(as_small_letters, "image found by its name in another case"),
    _Reading(
        without_suffix, "image found by its name with another suffix than listed", is_strict=False
    ),
    _Reading(without_upload_hash, "image found by its name as of an upload (without its hash)"),
)


def _groups(
    images: Iterable[Path], entries: Iterable[CocoImage], reading: _Reading
) -> list[tuple[_Images, _Entries]]:
    """Images and entries that fit each other best, as `reading` has their names."""
    by_base: dict[str, tuple[_Images, _Entries]] = {}
    for image in images:
        if parts := reading.parts(str(image)):
            by_base.setdefault(parts[-1], ([], []))[0].append(_Named(parts, image))
    for entry in entries if by_base else ():
        parts = reading.parts(entry.name)
        if parts and parts[-1] in by_base:
            by_base[parts[-1]][1].append(_Named(parts, entry))
    alike = [group for group in by_base.values() if group[1]]
    return [best for group in alike for best in _best(*group)]


def _best(images: _Images, entries: _Entries) -> Iterator[tuple[_Images, _Entries]]:
    """The same for one base name: those that share most parts come first, and leave the others.

    Of entries that share as many, one whose folders all agree goes before one of other folders.
    """
    if len(images) == len(entries) == 1:
        yield images, entries
        return
    for depth in range(max(len(entry.parts) for entry in entries), 0, -1):
        for fewest, most in ((depth, depth), (depth + 1, _MAX_PARTS)):
            groups: dict[Parts, tuple[_Images, _Entries]] = {}
            for image in images:
                if len(image.parts) >= depth:
                    groups.setdefault(image.parts[-depth:], ([], []))[0].append(image)
            for entry in entries:
                if fewest <= len(entry.parts) <= most and entry.parts[-depth:] in groups:
                    groups[entry.parts[-depth:]][1].append(entry)
            best = [group for group in groups.values() if group[1]]
            yield from best
            gone = {named for group in best for side in group for named in side}
            images = [image for image in images if image not in gone]
            entries = [entry for entry in entries if entry not in gone]
            if not images or not entries:
                return


def _tell(
    image: _Named[Path], entry: _Named[CocoImage], reading: _Reading, problems: Problems
) -> bool:
    """Whether the image is the entry's, counting what is not plain; not if the entry's exists."""
    depth = len(entry.parts)
    is_whole = image.parts[-depth:] == entry.parts
    told = reading.told or ("" if is_whole else OTHER_FOLDER)
    if not told:
        return True
    names = {as_written(entry.of.name), as_address(entry.of.name)}
    if any(_is_another_file(image.of, name) for name in names):
        return False
    problems.add(told, f"{image.of} is listed as {entry.of.name}")
    return True


def _is_another_file(image: Path, parts: Parts) -> bool:
    """Whether a file of the given name lies where the image's folders would have it."""
    if not 0 < len(parts) < len(image.parts):
        return False
    other = Path(*image.parts[: -len(parts)], *parts)
    try:
        return other.is_file() and not (image.exists() and other.samefile(image))
    except (OSError, ValueError):
        return False


def count_shared(images: Sequence[Path], entries: Sequence[CocoImage], problems: Problems) -> None:
    """Count images and entries of the file that fit each other equally; both sides are named."""
    paths = _and([str(image) for image in images])
    names = _and([f"{entry.name} (id {entry.key})" for entry in entries])
    if len(entries) > 1:
        problems.add(TWO_ENTRIES, f"{paths}: {names}", Effect.STOPS, remedy=_REMEDY)
    else:
        problems.add(TWO_IMAGES, f"{names}: {paths}", Effect.STOPS, remedy=_REMEDY)


def _and(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return " and ".join(names[:2]) + more


def has_image_suffix(name: str) -> bool:
    """Whether a file is named as an image is."""
    return PurePosixPath(name).suffix.lower() in _image_suffixes()


@cache
def _image_suffixes() -> frozenset[str]:
    """Of all that is read, and of photographs as telephones take them, which are converted."""
    return image_suffixes() | {".heic", ".heif"}
