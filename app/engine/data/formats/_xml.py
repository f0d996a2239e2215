"""Parse XML files of unknown origin, or count the reason why they cannot be parsed."""

import re
from html import escape
from html.entities import html5
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from app.engine.data.formats._text import decode, read_annotation
from app.engine.data.problems import Effect, Problems

NO_XML = "annotation file is not valid XML (image left out)"
UNREADABLE_LETTERS = "annotation file with letters that are not in its encoding"
AMPERSAND = "annotation file with & or an entity that XML does not know (read as the letter)"

_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_DECLARATION = re.compile(r"<\?xml\s[^<>]*\?>")
_ENTITY = re.compile(r"&(#\d{1,7};|#x[0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{0,40};)?")
_KNOWN_ENTITIES = ("&amp;", "&lt;", "&gt;", "&quot;", "&apos;")
_FILLING = "\ufeff\0 \t\r\n"


def parse_xml(path: Path, problems: Problems) -> Element | None:
    """The root element, tags in lower case without namespaces; None on an error, which is counted.

    Files that declare entities are refused, because these are used to attack XML parsers.
    """
    content = read_annotation(path, problems)
    if content is None:
        return None
    try:
        try:
            root = _parse(content)
        except (ParseError, ValueError, LookupError):
            root = _parse_mended(content, path, problems)
    except ParseError as error:
        reason = str(error) if content.strip() else "the file is empty"
    except DefusedXmlException:
        reason = "it declares entities, which is refused"
    except ValueError as error:
        reason = str(error)
    else:
        _make_plain(root)
        return root
    problems.add(NO_XML, f"{path}: {reason}", Effect.BROKEN)
    return None


def _parse(content: bytes) -> Element:
    """Parse a file of UTF-8; raises LookupError for other encodings."""
    declared = _DECLARED.search(content[:300])
    if b"\0" in content[:4] or (declared and declared[1].lower() != b"utf-8"):
        raise LookupError("another encoding")
    if b"<!DOCTYPE" in content:
        root: Element = defusedxml.ElementTree.fromstring(content)
        return root
    return fromstring(content)


def _parse_text(text: str) -> Element:
    if "<!DOCTYPE" in text:
        root: Element = defusedxml.ElementTree.fromstring(text)
        return root
    return fromstring(text)


def _parse_mended(content: bytes, path: Path, problems: Problems) -> Element:
    """Parse a file as text, which allows encodings that the parser does not support, blanks before
    the declaration, and unescaped ampersands.
    """
    declared = _DECLARED.search(content[:300])
    text, is_whole = decode(content, declared[1].decode() if declared else "")
    blank_lines = text[: len(text) - len(text.lstrip(_FILLING))].count("\n")  # errors name lines
    # The declaration is no longer needed; the parser refuses XML 1.1 and comments before it.
    text = "\n" * blank_lines + _DECLARATION.sub("", text.strip(_FILLING), count=1)
    try:
        root = _parse_text(text)
    except ParseError:
        escaped = _ENTITY.sub(_escaped, text)
        if escaped == text or "<!DOCTYPE" in text:  # a document type may declare the entity
            raise
        root = _parse_text(escaped)
        problems.add(AMPERSAND, str(path))
    if not is_whole:
        encoding = declared[1].decode() if declared else "UTF-8, and no other encoding is declared"
        problems.add(UNREADABLE_LETTERS, f"{path}: not {encoding}")
    return root


def _escaped(match: re.Match[str]) -> str:
    entity = match[0]
    if entity in _KNOWN_ENTITIES or entity.startswith("&#"):
        return entity
    return escape(html5.get(entity[1:], entity), quote=False)


def _make_plain(root: Element) -> None:
    """Change tags to lower case without namespaces."""
    if all("}" not in tag and tag.islower() for tag in {element.tag for element in root.iter()}):
        return
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2].lower()
