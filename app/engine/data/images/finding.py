"""Find the image files that paths, folders and patterns name."""

import glob
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from app.engine.data.images.decoding import image_suffixes
from app.engine.data.images.headers import image_size
from app.engine.errors import DatasetError, ImageError

logger = logging.getLogger(__name__)


def find_images(
    inputs: Iterable[Path], *, option: str = "", without: Path | None = None
) -> dict[Path, Path]:
    """Return the named files, and the images in folders and patterns, each once.

    The values are names relative to what was named, such as `day 1/a.jpg` of a folder's image.

    option   the name of the option in messages
    without  a folder whose images are not taken

    Raises DatasetError if there are none in one of the inputs.
    """
    told = f"{option} " if option else ""
    found: dict[Path, Path] = {}
    for path in inputs:
        for part in _expanded(path, told):
            if part.is_dir():
                named = {each: each.relative_to(part) for each in _images_in(part, told, without)}
            else:
                named = {part: Path(part.name)}
            for image, name in named.items():
                found.setdefault(image, name)
    return found


def _expanded(path: Path, told: str) -> list[Path]:
    """Return a path that exists, or what a pattern with `*`, `?`, `[` and `**` matches."""
    if path.exists():
        return [path]
    if glob.has_magic(str(path)):
        start = Path(path.anchor)
        matches = sorted(start.glob(str(path.relative_to(start))))
        matches = [each for each in matches if not each.name.startswith(".")]
        if matches:
            return matches
        raise DatasetError(f"{told}{path}: no file matches this pattern; check the path")
    raise DatasetError(f"{told}{path}: there is no such file; check the path")


def _images_in(folder: Path, told: str, without: Path | None) -> list[Path]:
    """List the files that are images by name or content, sorted; other files are counted."""
    suffixes = image_suffixes()
    images: list[Path] = []
    others: Counter[str] = Counter()
    skipped = _inside(folder, without)
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or (skipped is not None and path.is_relative_to(skipped)):
            continue
        # Names that begin with a dot belong to programs: ._a.jpg is not an image.
        is_named_so = path.suffix.lower() in suffixes and not path.name.startswith(".")
        if is_named_so or _is_image(path):
            images.append(path)
        else:
            others[path.suffix.lower() or "without a suffix"] += 1
    left_out = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    if not images:
        raise DatasetError(
            f"{told}{folder}: no image in this folder"
            f"{f', only other files ({left_out})' if left_out else ''}; check the path"
        )
    if others:
        logger.warning("%s%s: left out as no images: %s", told, folder, left_out)
    return images


def _inside(folder: Path, other: Path | None) -> Path | None:
    """Return `other` as a path below `folder`; None if it does not lie there."""
    start = folder.resolve()
    if other is None or not other.resolve().is_relative_to(start):
        return None
    return folder / other.resolve().relative_to(start)


def _is_image(path: Path) -> bool:
    try:
        image_size(path)
    except ImageError:
        return False
    return True
