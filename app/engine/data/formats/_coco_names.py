"""Find the entry of an image in an annotation file by the longest end common to both names.

Names are compared as written, then in the spellings of other programs and systems: each spelling is
tried on images without an entry so far, and its matches are counted. If an image fits two entries
equally, or an entry two images, the set cannot be read.
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

TWO_ENTRIES = "image that two entries of the annotation file fit equally well"
TWO_IMAGES = "entry of the annotation file that two images fit equally well"
OTHER_FOLDER = "image found by the end of its name (the annotation file lists it in another folder)"
_REMEDY = "let file_name have the folder, too, and list each image once"

_MAX_PARTS = 1_000_000
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_UPLOAD_HASH = re.compile(r"([0-9a-f]{8}-)+(?=[^.])")
_LOST_IN_UPLOADS = re.compile(r"[^-\w.]")


@dataclass(frozen=True, slots=True)
class _Reading:
    """A way to read names.

    parts     returns the folders and base name of a name
    told      kind of problem that is counted for its matches; "" for none
    is_strict whether a name that fits twice makes the set unreadable; else it is not matched
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
    """Return the entry of each image that the file lists; None if several fit.

    images  each image once; images without an entry in the file are not in the result
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
    """The parts of a path of this system."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def as_elsewhere(name: str) -> Parts:
    """The parts after the last `..`, stripped, with \\ as /, and in Unicode form NFC."""
    plain = unicodedata.normalize("NFC", name).replace("\\", "/")
    parts = [part.strip() for part in plain.split("/")]
    up = max((i for i, part in enumerate(parts) if part == ".."), default=-1)
    return tuple(part for part in parts[up + 1 :] if part not in ("", "."))


def as_address(name: str) -> Parts:
    """The parts of a URL without its query and fragment, with %20 and &amp; decoded.

    Label Studio's URLs have the path in a parameter: `/data/local-files/?d=dir/name.jpg`.
    """
    if "?" in name:
        name, _, query = name.partition("?")
        values = [value for _, value in parse_qsl(query) if has_image_suffix(value)]
        name = values[0] if values and not has_image_suffix(name) else name
    if _SCHEME.match(name):
        name = name.partition("#")[0]
    for _ in range(3):  # some programs escape names that are already escaped
        try:
            name = unquote(name, errors="strict")
        except UnicodeDecodeError:
            break
    return as_elsewhere(unescape(name))


def as_small_letters(name: str) -> Parts:
    """As `as_address`, in lower case."""
    return tuple(part.casefold() for part in as_address(name))


def without_suffix(name: str) -> Parts:
    """As `as_small_letters`, without the image's suffix, which may differ after a conversion."""
    *folders, base = as_small_letters(name) or ("",)
    return (*folders, PurePosixPath(base).stem if has_image_suffix(base) else base)


def without_upload_hash(name: str) -> Parts:
    """As `as_small_letters`, without the 8-digit prefixes that Label Studio adds with each upload,
    and as it changes the name: "_" for a blank, nothing for other marks.
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
    """Groups of images and entries that fit each other best in the spelling of `reading`."""
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
    """The groups of one base name: images and entries with most parts in common come first.

    Among entries with equally many common parts, those whose folders all agree come first.
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
    """Count a match that is not exact; return False if the file that the entry names exists."""
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
    """Whether another file of the given name exists beside the image or in a folder above."""
    if not 0 < len(parts) < len(image.parts):
        return False
    other = Path(*image.parts[: -len(parts)], *parts)
    try:
        return other.is_file() and not (image.exists() and other.samefile(image))
    except (OSError, ValueError):
        return False


def count_shared(images: Sequence[Path], entries: Sequence[CocoImage], problems: Problems) -> None:
    """Count images and entries of the file that fit each other equally, and name both."""
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
    """Whether a file name has the suffix of an image."""
    return PurePosixPath(name).suffix.lower() in _image_suffixes()


@cache
def _image_suffixes() -> frozenset[str]:
    """Suffixes of images that can be read, and of telephones' photographs, which users convert."""
    return image_suffixes() | {".heic", ".heif"}
