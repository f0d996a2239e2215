"""Ark: one text file an image, one object a line, columns separated by commas.

class index, xmin, ymin, xmax, ymax [, quality [, rotation]]

The maxima are inclusive pixel indices, so a box ends one pixel further on. Quality says how sure
an annotator was and is not used; a rotated box is taken as the upright one that the columns give.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.engine.data.formats._reading import Reading
from app.engine.data.formats._records import (
    ParsedObject,
    build_record,
    edges,
    read_annotation,
    readable_pairs,
)
from app.engine.data.problems import Effect
from app.engine.structures.sample import ImageRecord

_COLUMNS = (5, 6, 7)


def read(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
    """Records of (image, annotation) pairs; a class is its position in `class_names`."""
    problems = reading.problems
    records: list[ImageRecord] = []
    for image, annotation, header in readable_pairs(pairs, problems):
        content = read_annotation(annotation, problems)
        if content is None:
            continue
        text = content.decode("utf-8-sig", errors="replace")
        objects = _objects(text, annotation, reading)
        records.append(
            build_record(image, header.size, objects, image_id=len(records), reading=reading)
        )
    return records


def _objects(text: str, annotation: Path, reading: Reading) -> Iterator[ParsedObject]:
    problems, num_classes = reading.problems, len(reading.class_names)
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{annotation}:{number}"
        values = _numbers(line)
        if values is None:
            problems.add("line that is not 5 to 7 numbers (dropped)", where, Effect.DROPPED)
            continue
        class_id = values[0]
        reading.facts.class_numbers[class_id] += 1
        if not class_id.is_integer() or not 0 <= class_id < num_classes:
            problems.add(
                f"class index outside 0..{num_classes - 1} (dropped)", where, Effect.DROPPED
            )
            continue
        if len(values) == 7 and values[6] != 0:
            problems.add("rotated box (taken as upright)", where, Effect.CHANGED)
        x0, y0, x1, y1 = values[1:5]
        yield ParsedObject(int(class_id), edges((x0, y0, x1, y1), inclusive=True))


def _numbers(line: str) -> list[float] | None:
    columns = line.split(",")
    if len(columns) not in _COLUMNS:
        return None
    try:
        return [float(column) for column in columns]
    except ValueError:
        return None
