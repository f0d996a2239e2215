"""Ark: one text file an image, one object a line, columns separated by commas.

class index, xmin, ymin, xmax, ymax [, quality [, rotation]]

The maxima are inclusive pixel indices, so a box ends one pixel further on. Quality says how sure
an annotator was and is not used; a rotated box is taken as the upright one that the columns give.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.engine.data.formats._records import (
    ParsedObject,
    build_record,
    read_annotation,
    readable_pairs,
)
from app.engine.data.problems import Problems
from app.engine.structures.sample import ImageRecord

_COLUMNS = (5, 6, 7)


def read(
    pairs: Sequence[tuple[Path, Path]], class_names: Sequence[str], problems: Problems
) -> list[ImageRecord]:
    """Records of (image, annotation) pairs; `class_names` gives the number of classes."""
    records: list[ImageRecord] = []
    for image, annotation, size in readable_pairs(pairs, problems):
        content = read_annotation(annotation, problems)
        if content is None:
            continue
        text = content.decode("utf-8-sig", errors="replace")
        objects = _objects(text, len(class_names), annotation, problems)
        records.append(build_record(image, size, objects, image_id=len(records), problems=problems))
    return records


def _objects(
    text: str, num_classes: int, annotation: Path, problems: Problems
) -> Iterator[ParsedObject]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{annotation}:{number}"
        values = _numbers(line)
        if values is None:
            problems.add("line that is not 5 to 7 numbers (dropped)", where)
            continue
        class_id = values[0]
        if not class_id.is_integer() or not 0 <= class_id < num_classes:
            problems.add(f"class index outside 0..{num_classes - 1} (dropped)", where)
            continue
        if len(values) == 7 and values[6] != 0:
            problems.add("rotated box (taken as upright)", where)
        x0, y0, x1, y1 = values[1:5]
        yield ParsedObject(int(class_id), (x0, y0, x1 + 1, y1 + 1))


def _numbers(line: str) -> list[float] | None:
    columns = line.split(",")
    if len(columns) not in _COLUMNS:
        return None
    try:
        return [float(column) for column in columns]
    except ValueError:
        return None
