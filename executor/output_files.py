"""Files of /out: the functions of `common.files`, with OutputError in place of OSError."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from common import files
from common.storage import remedy
from executor.errors import OutputError


def write_atomically(path: Path, text: str) -> None:
    """Make `text` the content of `path`; OutputError if that is impossible."""
    with atomic_writer(path) as stream:
        stream.write(text)


@contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """A text stream that becomes `path` at the end of the block, and vanishes if the block fails.

    The encoding is UTF-8; names with other bytes are written unchanged. The file keeps its mode,
    because platforms write our files, too.
    """
    try:
        with files.atomic_file(path) as file:
            stream = io.TextIOWrapper(
                file, encoding="utf-8", errors="surrogateescape", newline="\n"
            )
            yield stream
            stream.detach()
    except OSError as error:
        if error.filename == str(path):
            raise output_error(path, error) from error
        raise


def place_file(source: Path, target: Path) -> None:
    """Call `common.files.place_file`; OutputError if that is impossible."""
    try:
        files.place_file(source, target)
    except OSError as error:
        raise output_error(target, error) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the error for a `path` that cannot be written, with a remedy."""
    return OutputError(f"{path}: cannot be written ({error.strerror or error}); {remedy(error)}")
