"""Read annotation files as text, in the encodings that editors write."""

import codecs
import errno
import math
import stat
from pathlib import Path
from typing import Any

from app.engine.data.problems import Effect, Problems

NO_ANNOTATION = "annotation file missing or unreadable (image left out)"
NO_TEXT = "annotation file is no lines of text (image left out)"

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, as its mark begins with UTF-16's mark
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

# Files often have letters of a larger encoding than the declared one.
_LARGER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}

# Codecs of Python that are not for text files.
_NO_CHARSETS = ("punycode", "idna", "undefined", "unicode_escape", "raw_unicode_escape", "utf-7")


def read_annotation(path: Path, problems: Problems) -> bytes | None:
    """Read an annotation file; None if it cannot be read, which is counted."""
    try:
        return read_regular(path)
    except OSError as error:
        problems.add(NO_ANNOTATION, f"{path}: {error.strerror or 'unreadable'}", Effect.BROKEN)
        return None


def read_regular(path: Path) -> bytes:
    """Read a file; raises OSError also for a pipe, which may never end, and for invalid names."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path.read_bytes()
    except ValueError as error:  # a NUL in its name
        raise OSError(errno.EINVAL, "no file has such a name") from error
    raise OSError(errno.EINVAL, "not a regular file")


def read_lines(path: Path, problems: Problems) -> list[tuple[int, str]] | None:
    """Read the lines that are not blank, stripped, with their numbers; None if the file cannot be
    read or is of another kind, which is counted.
    """
    content = read_annotation(path, problems)
    if content is None:
        return None
    text, _ = decode(content)
    start = text[:100].lstrip()[:1]
    if "\0" in text or start in ("<", "{", "["):
        kind = {"<": "XML", "{": "JSON", "[": "JSON"}.get(start, "binary data")
        problems.add(NO_TEXT, f"{path} looks like {kind}", Effect.BROKEN)
        return None
    lines = enumerate(text.splitlines(), start=1)
    return [(number, short) for number, line in lines if (short := line.strip())]


def number_of(value: Any) -> float | None:
    """A finite number, maybe written as text; None for other values."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def decode(content: bytes, declared: str = "") -> tuple[str, bool]:
    """Return the text, and whether all of it could be decoded; the rest is U+FFFD.

    declared  the encoding declared in the file; "" if there is none
    """
    start = content[:4]
    if not start.isascii() or b"\0" in start:
        for mark, encoding in _MARKS.items():
            if start.startswith(mark):
                return _decoded(content[len(mark) :], [encoding])
        if wide := _wide(start):
            return _decoded(content, [wide])
    named = _charset(declared) if declared else "utf-8"
    if named.startswith(("utf-16", "utf-32")):  # .NET may declare UTF-16 in a file of UTF-8
        named = "utf-8"
    return _decoded(content, [named, "utf-8"])


def _wide(start: bytes) -> str:
    """UTF-16 without a mark, recognised by the zeros of its first letter; "" for other texts."""
    zeros = [byte == 0 for byte in start[:2]]
    if zeros == [False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False] else ""


def _charset(declared: str) -> str:
    """Python's name of an encoding; UTF-8, XML's default, if it is unknown."""
    for name in (declared, declared.replace("-", "").replace("_", "")):
        try:
            found = codecs.lookup(name).name
        except LookupError:
            continue
        return "utf-8" if found in _NO_CHARSETS else _LARGER.get(found, found)
    return "utf-8"


def _decoded(content: bytes, encodings: list[str]) -> tuple[str, bool]:
    for encoding in encodings:
        try:
            return content.decode(encoding), True
        except (UnicodeDecodeError, LookupError):  # LookupError: the codec is not for text
            continue
    return content.decode(encodings[-1], errors="replace"), False
