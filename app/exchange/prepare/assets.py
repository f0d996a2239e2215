"""Put the images of a source into a task's `assets`, under names that an index can list."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from common.text import printable


def names_of(images: Sequence[Path], roots: Sequence[Path]) -> list[str]:
    """The names of images below `assets`, each once: their paths from one of `roots` on.

    For images elsewhere the paths start at the innermost folder that holds all of these.
    """
    outside = {image.parent for image in images if _root_of(image, roots) is None}
    shared = Path(os.path.commonpath(outside)) if outside else Path()
    used: set[str] = set()
    names = []
    for image in images:
        name = _listable(image.relative_to(_root_of(image, roots) or shared).as_posix())
        while name in used:
            path = PurePosixPath(name)
            name = str(path.with_name(f"{path.stem}_{path.suffix}"))
        used.add(name)
        names.append(name)
    return names


def place_images(images: Sequence[Path], names: Sequence[str], folder: Path) -> int:
    """Link the images to their names in `folder`, or copy them; return the number of copies.

    A hard link needs no space. It is not possible across file systems, and where the system forbids
    links to the files of others.
    """
    num_copies = 0
    for image, name in zip(images, names, strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(os.path.realpath(image), target)
        except OSError:
            shutil.copyfile(image, target)
            num_copies += 1
    return num_copies


def _root_of(image: Path, roots: Sequence[Path]) -> Path | None:
    return next((root for root in roots if image.is_relative_to(root)), None)


def _listable(name: str) -> str:
    """The name without tabs, line ends and blanks around its parts: an index cannot have them."""
    return "/".join(printable(part, instead="_").strip() or "_" for part in name.split("/"))
