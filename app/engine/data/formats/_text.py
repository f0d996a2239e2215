"""Annotation files as text, in whatever encoding people's editors wrote them."""

import codecs

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16's, which its mark begins with
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

# What is declared is often a smaller set of letters than what was written.
_LARGER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}

# Python has codecs for other purposes than files of text.
_NO_CHARSETS = ("punycode", "idna", "undefined", "unicode_escape", "raw_unicode_escape", "utf-7")


def decode(content: bytes, declared: str = "") -> tuple[str, bool]:
    """The text, and whether all of it could be read; what could not is U+FFFD.

    declared  the encoding that the file names; "" where it names none
    """
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return _decoded(content[len(mark) :], [encoding])
    if wide := _wide(content):
        return _decoded(content, [wide])
    named = _charset(declared)
    return _decoded(
        content, ["utf-8"] if named.startswith(("utf-16", "utf-32")) else [named, "utf-8"]
    )


def _wide(content: bytes) -> str:
    """UTF-16 without a mark, told by the zeros of its first letter; "" for anything else."""
    zeros = [byte == 0 for byte in content[:2]]
    if zeros == [False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False] else ""


def _charset(declared: str) -> str:
    """Python's name of an encoding; UTF-8 where it is none, as XML has it."""
    for name in (declared, declared.replace("-", "").replace("_", "")):
        try:
            found = codecs.lookup(name).name if name else "utf-8"
        except LookupError:
            continue
        return "utf-8" if found in _NO_CHARSETS else _LARGER.get(found, found)
    return "utf-8"


def _decoded(content: bytes, encodings: list[str]) -> tuple[str, bool]:
    for encoding in encodings:
        try:
            return content.decode(encoding), True
        except (UnicodeDecodeError, LookupError):  # LookupError: it is not for text
            continue
    return content.decode(encodings[-1], errors="replace"), False
