"""XML elements with text and attributes."""

import xml.etree.ElementTree as ET
from pathlib import Path

Value = str | int | float


def add(parent: ET.Element, tag: str, text: Value | None = None, **attributes: Value) -> ET.Element:
    """Append an element; numbers that are not whole are written with two decimals."""
    child = ET.SubElement(parent, tag, {key: _text(value) for key, value in attributes.items()})
    child.text = None if text is None else _text(text)
    return child


def save(root: ET.Element, file: Path) -> None:
    """Write a file with declaration and indents."""
    ET.indent(root)
    file.write_bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _text(value: Value) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
