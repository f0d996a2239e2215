"""Paths in index files as people and programs write them: read exactly, else as they were meant.

A path that exists as it is written is never read in another way; what is odd about one that does
not decides what is tried. Ordinary paths are not looked up.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from executor.mounts import mounted

_BLANK = " \t\r\n\v\f\u00a0\u200b\u3000\ufeff"
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d"}
_ODD_ENDS = frozenset(_BLANK) | frozenset("\"'\u201d")
_SEPARATOR = re.compile(r"\s*(?:\\t|[,;|]|\s)\s*")
_MAX_SEPARATORS = 20

ANNOTATION_SUFFIXES = (".txt", ".xml", ".json")
"""What the platform calls annotation files."""


def file_of(text: str, folder: Path | None) -> tuple[Path, str]:
    """The file that a path means, and how it was read: '' is exactly.

    `folder` holds the index: relative paths may start there.
    """
    exact = Path(mounted(text))
    if not is_odd(text) or is_there(exact):
        return exact, ""
    for meant, how in _meanings(text):
        if how and is_there(Path(mounted(meant))):
            return Path(mounted(meant)), how
        if folder is not None and not Path(meant).is_absolute() and is_there(folder / meant):
            start = "from the index's folder"
            return folder / meant, f"{how}, {start}" if how else start
    return exact, ""


def is_odd(text: str) -> bool:
    """Whether a path that does not exist may have been meant in another way."""
    return text[:1] != "/" or text[-1] in _ODD_ENDS or "\\" in text or "\r" in text


def is_there(path: Path) -> bool:
    """False only where there surely is nothing: storage may fail for a moment."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def split_in_two(text: str, folder: Path | None) -> tuple[str, str] | None:
    """Image and annotation of a line in which something else stands for the TAB, if both exist."""
    found = [
        (image, annotation)
        for match in islice(_SEPARATOR.finditer(text), _MAX_SEPARATORS)
        if (image := text[: match.start()].strip(_BLANK))
        and (annotation := text[match.end() :].strip(_BLANK))
        and is_there(file_of(image, folder)[0])
        and is_there(file_of(annotation, folder)[0])
    ]
    return found[0] if len(found) == 1 else None


def where_it_ends(path: Path) -> str:
    """Which folder of a missing file is missing itself, as the end of a sentence."""
    missing = path
    while missing.parent != missing and not is_there(missing.parent):
        missing = missing.parent
    if missing == path:
        return f"the folder {path.parent} has no such file"
    return f"there is no folder {missing} here"


def _meanings(text: str) -> Iterator[tuple[str, str]]:
    """What else a path may mean, the least change first, and what that change is."""
    yield text, ""
    bare = text.strip(_BLANK)
    how = "without blanks at their ends" if bare != text else ""
    yield bare, how
    if len(bare) > 1 and _QUOTES.get(bare[0]) == bare[-1]:
        bare, how = bare[1:-1].strip(_BLANK), "without quotes"
        yield bare, how
    if "\\" in bare:
        yield bare.replace("\\", "/"), "with / for \\"
    if bare.lower().startswith("file://"):
        yield unquote(re.sub("^file://(localhost)?", "", bare, flags=re.I)), "as addresses"
