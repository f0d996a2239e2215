"""Paths of index files: read exactly as written, or corrected where such a file does not exist.

A path that exists as written is never changed. For a path that does not exist, its oddities
(see `_meanings`) decide which corrections are tried. Ordinary paths are not looked up on disk.
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
"""Suffixes of the platform's annotation files."""


def file_of(text: str, folder: Path | None) -> tuple[Path, str]:
    """Return the file that a path means, and the correction that was made ('' for none).

    `folder` contains the index: relative paths may start there.
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
    """Whether there is a correction to try for a path that does not exist."""
    return text[:1] != "/" or text[-1] in _ODD_ENDS or "\\" in text or "\r" in text


def is_there(path: Path) -> bool:
    """Return False only if the file certainly does not exist: storage may fail for a moment."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def split_in_two(text: str, folder: Path | None) -> tuple[str, str] | None:
    """Split a line at a separator other than the TAB; None unless both files exist."""
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
    """Name the first missing folder on the way to a missing file, as the end of a sentence."""
    text = str(path)
    if re.match(r"[A-Za-z]:[\\/]", text):
        return "it is a path of Windows"
    if text.startswith("~"):
        return "nobody's home is looked up for ~"
    missing = path
    while missing.parent != missing and not is_there(missing.parent):
        missing = missing.parent
    if missing == path:
        return f"the folder {path.parent} has no such file"
    return f"there is no folder {missing} here"


def _meanings(text: str) -> Iterator[tuple[str, str]]:
    """Yield corrected paths, the smallest change first, each with a description of the change."""
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
