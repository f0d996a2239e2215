"""The pictures that infer draws of the first images of the index, from the entries of its result.

A picture is written in one step and names the entry that it shows, so that a run that goes on draws
only what is missing. Pictures are extras: what cannot be drawn is logged, and the task goes on.
"""

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from app.engine.data.images.depth import UNDECIDED
from app.engine.data.images.reading import read_picture
from app.engine.drawing import Marks, draw
from app.engine.errors import ImageError
from common.files import write_atomically
from executor.dataset_reader import Asset

logger = logging.getLogger(__name__)

FOLDER = "pictures"
"""Folder in /out."""

_NAME = re.compile(r"\d{6,}_.*\.jpg", re.DOTALL)
_MAX_STEM = 100  # bytes; a file name has at most 255
_QUALITY = 90


def draw_first(
    folder: Path,
    images: Iterable[Asset],
    entries: Iterable[str],
    marks_of: Callable[[str], Marks],
    class_names: Sequence[str],
) -> None:
    """Draw each image with its entry into `folder`; other pictures of earlier runs there go."""
    expected: set[str] = set()
    num_earlier, unreadable = 0, []
    try:
        for number, (image, entry) in enumerate(zip(images, entries, strict=True), start=1):
            path = folder / _file_name(number, image.image_text)
            expected.add(path.name)
            mark = hashlib.sha256(f"{image.image_text}\n{entry}".encode("utf-8", "surrogateescape"))
            if _mark_in(path) == mark.hexdigest():
                num_earlier += 1
                continue
            try:
                _draw(path, image.image, marks_of(entry), class_names, mark.hexdigest())
            except ImageError as error:
                unreadable.append(str(error))
                expected.discard(path.name)
        _remove_others(folder, expected)
    except OSError as error:
        logger.warning(
            "draw: pictures cannot be written (%s: %s); the result is complete without them",
            error.filename or folder,
            error.strerror or error,
        )
        return
    logger.info(
        "draw: %d pictures in %s (%d by an earlier run)", len(expected), folder, num_earlier
    )
    if unreadable:
        logger.warning(
            "draw: %d images are not drawn, for example %s", len(unreadable), unreadable[0]
        )


def _draw(path: Path, image: Path, marks: Marks, class_names: Sequence[str], mark: str) -> None:
    # Where white is decided by the training data, an image with more than 8 bits may look darker.
    picture, _ = read_picture(image, "RGB", UNDECIDED)
    content = io.BytesIO()
    drawn = draw(picture, marks, class_names)
    drawn.save(content, format="JPEG", quality=_QUALITY, comment=mark.encode())
    write_atomically(path, content.getvalue())


def _file_name(number: int, image_text: str) -> str:
    """`000001_name.jpg`: in the order of the index, even of images of one name."""
    name = image_text.rsplit("/", 1)[-1]
    stem = name.rpartition(".")[0] or name
    short = stem.encode("utf-8", "surrogateescape")[:_MAX_STEM].decode("utf-8", "surrogateescape")
    return f"{number:06}_{short}.jpg"


def _mark_in(path: Path) -> str:
    """Return the mark in a picture; '' without one."""
    with suppress(OSError, ValueError, SyntaxError), Image.open(path) as picture:
        return bytes(picture.info.get("comment", b"")).decode("ascii", "replace")
    return ""


def _remove_others(folder: Path, expected: set[str]) -> None:
    """Delete the pictures that show nothing of this result."""
    if folder.is_dir():
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in expected:
                path.unlink()
