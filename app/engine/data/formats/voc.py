"""PASCAL VOC as the platform writes it: one XML file an image.

The maxima are inclusive pixel indices counted from 0 (PASCAL's own files count from 1: there use
`voc_dataset`). The size in the file is not trusted: only the image knows how it is displayed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from app.engine.data.formats._reading import Reading
from app.engine.data.formats._records import (
    UNKNOWN_CLASS,
    ParsedObject,
    build_record,
    class_ids_by_name,
    read_annotation,
    readable_pairs,
)
from app.engine.data.problems import Effect, Problems
from app.engine.structures.boxes import Size
from app.engine.structures.sample import ImageRecord

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
    """Records of (image, annotation) pairs."""
    problems = reading.problems
    class_ids = class_ids_by_name(reading.class_names)
    records: list[ImageRecord] = []
    for image, annotation, header in readable_pairs(pairs, problems):
        root = parse_xml(annotation, problems)
        if root is None:
            continue
        if _says_transposed(root, header.size):
            problems.add("annotated size is the one before EXIF rotation", str(annotation))
        objects = read_objects(root, class_ids, annotation, problems)
        records.append(
            build_record(image, header.size, objects, image_id=len(records), reading=reading)
        )
    return records


def parse_xml(annotation: Path, problems: Problems) -> Element | None:
    """Root element; None, and counted, where there is no file or no harmless XML in it."""
    content = read_annotation(annotation, problems)
    if content is None:
        return None
    try:
        root: Element = ElementTree.fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        problems.add(
            "annotation file is not valid XML (image left out)", str(annotation), Effect.BROKEN
        )
        return None
    return root


def read_objects(
    root: Element, class_ids: dict[str, int], annotation: Path, problems: Problems
) -> Iterator[ParsedObject]:
    """Objects of one file; inclusive maxima become exclusive."""
    for element in root.iter("object"):
        name = (element.findtext("name") or "").strip()
        class_id = class_ids.get(name.lower())
        if class_id is None:
            problems.add(UNKNOWN_CLASS, name or "(no name)", Effect.DROPPED)
            continue
        box = element.find("bndbox")
        corners = None if box is None else _corners(box)
        if box is None or corners is None:
            problems.add(
                "object without a complete bndbox (dropped)", str(annotation), Effect.DROPPED
            )
            continue
        if _number(box.findtext("rotate_angle")) not in (None, 0.0):
            problems.add("rotated box (taken as upright)", str(annotation), Effect.CHANGED)
        x0, y0, x1, y1 = corners
        difficult = _number(element.findtext("difficult")) not in (None, 0.0)
        yield ParsedObject(class_id, (x0, y0, x1 + 1, y1 + 1), difficult=difficult)


def _corners(box: Element) -> tuple[float, float, float, float] | None:
    values = [_number(box.findtext(corner)) for corner in _CORNERS]
    x0, y0, x1, y1 = values
    if x0 is None or y0 is None or x1 is None or y1 is None:
        return None
    return x0, y0, x1, y1


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _says_transposed(root: Element, size: Size) -> bool:
    width, height = _number(root.findtext("size/width")), _number(root.findtext("size/height"))
    return size[0] != size[1] and (width, height) == (size[0], size[1])
