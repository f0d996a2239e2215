"""Lines of an index file: each names an image and, after a TAB, possibly its annotation file."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from pathlib import Path

from executor.errors import DatasetError
from executor.index_paths import file_of, is_there
from executor.index_remarks import Remarks

_HEADER = re.compile(
    r"\W*(img|image|asset|file|path|photo|picture)s?([ _]?(file|name|path|url)s?)?"
    r"(\W+(annotation|label|target|mask|xml|json|txt)s?([ _]?(file|name|path|url)s?)?)*\W*",
    re.IGNORECASE,
)
"""A first line that names columns."""

Columns = tuple[str, str | None]
"""The texts of an image path and its annotation path, as the index writes them."""


def index_lines(path: Path, *, remarks: Remarks | None = None) -> Iterator[tuple[int, Columns]]:
    """Yield the start byte and the columns of each line that names an image; DatasetError."""
    start, is_first = 0, True
    try:
        with path.open("rb") as stream:
            for line in stream:
                if start == 0:
                    if line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
                        raise DatasetError(f"{path}: the index is UTF-16; save it as UTF-8")
                    if line.startswith(BOM_UTF8):
                        start, line = len(BOM_UTF8), line[len(BOM_UTF8) :]
                columns = columns_of(line)
                if columns is not None:
                    if not is_first or not _is_header(*columns, path.parent):
                        yield start, columns
                    elif remarks is not None:
                        remarks.header = columns[0]
                    is_first = False
                start += len(line)
    except OSError as error:
        raise index_error(path, error) from error


def columns_of(line: bytes) -> Columns | None:
    """Return the columns of a line; None if it names no image."""
    text = line.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    image, *rest = text.split("\t")
    if not image.strip():
        return None
    for annotation in rest:
        if annotation.strip():
            return image, annotation
    return image, None


def index_error(path: Path, error: OSError) -> DatasetError:
    """Return the error for an index that cannot be read."""
    return DatasetError(
        f"{path}: the index cannot be read ({error.strerror}); check what is mounted as input"
    )


def _is_header(image: str, annotation: str | None, folder: Path) -> bool:
    names_columns = _HEADER.fullmatch(f"{image}\t{annotation or ''}") is not None
    return names_columns and not is_there(file_of(image, folder)[0])
