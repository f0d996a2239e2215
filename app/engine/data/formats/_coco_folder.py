"""Find the images of a COCO file in a folder, by their paths or else by the end of their names."""

import os
from collections.abc import Iterable
from pathlib import Path

from app.engine.data.formats._coco_file import CocoFile, CocoImage, Key
from app.engine.data.formats._coco_names import count_shared, has_image_suffix, match_images
from app.engine.data.formats._records import NO_IMAGE, read_headers
from app.engine.data.formats.coco import Found, count_lost
from app.engine.data.images.headers import Header
from app.engine.data.problems import Effect, Problems
from app.engine.errors import ImageError

NAMELESS = "image of the COCO file without a file_name (left out)"
NOT_THERE = "image of the COCO file that is not in the folder (left out)"


def find_images(file: CocoFile, folder: Path, problems: Problems) -> list[Found]:
    """Return the images of the file that can be opened, in its order; count all others."""
    named = {image.key: image for image in file.images.values() if image.name}
    paths = {key: folder / image.name for key, image in named.items()}
    headers = _headers(paths)
    absent = {
        key
        for key, header in headers.items()
        if isinstance(header, ImageError) and _is_absent(paths[key])
    }
    listing = ""
    if absent:
        files = _image_files(folder)
        listing = f"{folder} holds {f'for example {files[0]}' if files else 'no image'}"
        taken = {path for key, path in paths.items() if key not in absent}
        moved = match_images(
            [path for path in files if path not in taken], [named[key] for key in absent], problems
        )
        elsewhere = {image.key: path for path, image in moved.items() if image is not None}
        paths |= elsewhere
        headers |= _headers(elsewhere)
        absent -= elsewhere.keys()
    found: list[Found] = []
    for key, image in file.images.items():
        header = headers.get(key)
        if isinstance(header, Header):
            found.append((image, paths[key], header))
            continue
        if header is None:
            problems.add(NAMELESS, f"id {key} in {file.path}", Effect.BROKEN)
        elif key in absent:
            problems.add(NOT_THERE, f"{image.name}; {listing}", Effect.BROKEN)
        else:
            problems.add(NO_IMAGE, str(header), Effect.BROKEN)
        count_lost(file, image, problems)
    _refuse_shared(found, problems)
    return found


def _headers(paths: dict[Key, Path]) -> dict[Key, Header | ImageError]:
    return dict(zip(paths, read_headers(list(paths.values())), strict=True))


def _is_absent(path: Path) -> bool:
    """Whether there is no such file; False if the storage does not answer."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return len(path.name) > 255
    return False


def _image_files(folder: Path) -> list[Path]:
    """The files below the folder with the suffix of an image, sorted."""
    return sorted(
        Path(root, name)
        for root, _, names in os.walk(folder)
        for name in names
        if has_image_suffix(name)
    )


def _refuse_shared(found: Iterable[Found], problems: Problems) -> None:
    """Count image files that two entries name."""
    first: dict[str, CocoImage] = {}
    for image, path, _ in found:
        other = first.setdefault(os.path.normpath(path), image)
        if other is not image:
            count_shared([path], [other, image], problems)
