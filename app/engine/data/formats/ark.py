"""Ark: one text file an image, one object a line, columns separated by commas.

class index, xmin, ymin, xmax, ymax [, quality [, rotation]]

The maxima are inclusive pixel indices, so a box ends one pixel further on. Quality says how sure
an annotator was and is not used; a rotated box is taken as the upright one that the columns give.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.engine.data.formats._class_list import check_class_lists
from app.engine.data.formats._frames import frame_map
from app.engine.data.formats._lines import COMMENT, Classes, tell_foreign, yolo_columns
from app.engine.data.formats._reading import Reading
from app.engine.data.formats._records import (
    ParsedObject,
    build_record,
    edges,
    readable_pairs,
    tell_shared,
)
from app.engine.data.formats._text import read_lines
from app.engine.data.problems import Effect
from app.engine.structures.sample import ImageRecord

WRONG_LINE = "line that is not 5 to 7 numbers (dropped)"
TRAILING = "line with a comma at its end (read without it)"
SEMICOLONS = "line with semicolons in place of commas (read)"
HEADER = "first line without a number (taken as a header)"
FRACTIONS = "box with fractions of a pixel (its maxima are taken as the last pixels all the same)"
FOREIGN = "lines of YOLO, separated by blanks, among those of ark"

_COLUMNS = (5, 6, 7)


def read(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
    """Records of (image, annotation) pairs; a class is its position in `class_names`."""
    parser = _Parser(reading)
    records: list[ImageRecord] = []
    used: list[Path] = []  # files with objects
    for image, annotation, header in readable_pairs(pairs, reading.problems):
        lines = read_lines(annotation, reading.problems)
        frame = frame_map(None, header, reading, str(annotation))
        if lines is None or frame is None:
            continue
        objects = (
            ParsedObject(class_id, frame.box(edges(corners, inclusive=True)))
            for class_id, corners in parser.objects(annotation, lines)
        )
        record = build_record(image, header.size, objects, image_id=len(records), reading=reading)
        records.append(record)
        if len(record):
            used.append(annotation)
    tell_shared(used, reading.problems)
    check_class_lists(used, reading.class_names, reading.problems)
    tell_foreign(FOREIGN, [*parser.foreign.values()], parser.own, reading.problems)
    return records


class _Parser:
    """From lines to classes and corners.

    own      file and line of the first object
    foreign  likewise of the first line of each file that is YOLO's
    """

    def __init__(self, reading: Reading) -> None:
        self.own = ""
        self.foreign: dict[Path, str] = {}
        self._classes = Classes(reading)
        self._problems = reading.problems

    def objects(
        self, annotation: Path, lines: Sequence[tuple[int, str]]
    ) -> Iterator[tuple[int, tuple[float, float, float, float]]]:
        """Class and corners of each object of a file."""
        may_be_header = True
        for number, line in lines:
            where = f"{annotation}:{number}"
            values = _numbers(line.split(",")) or self._mended(line, where)
            if values is not None:
                self.own = self.own or where
                found = self._checked(values, where)
                if found is not None:
                    yield found
            elif line.startswith("#"):
                self._problems.add(COMMENT, where)
                continue
            elif yolo_columns(line) is not None:
                self.foreign.setdefault(annotation, where)
            elif may_be_header and not any(map(_is_number, line.replace(";", ",").split(","))):
                self._problems.add(HEADER, where)
            else:
                self._problems.add(WRONG_LINE, where, Effect.DROPPED)
            may_be_header = False

    def _mended(self, line: str, where: str) -> list[float] | None:
        """Numbers of a line that is not quite as it should be; None where it has no such."""
        text = line if "," in line else line.replace(";", ",")
        first, *others = text.rstrip(", ").split(",")
        numbers = _numbers(["0", *others])
        class_number = None if numbers is None else self._classes.number(first, where)
        if numbers is None or class_number is None:
            return None
        if text != line:
            self._problems.add(SEMICOLONS, where)
        elif text.endswith(","):
            self._problems.add(TRAILING, where)
        return [class_number, *numbers[1:]]

    def _checked(
        self, values: list[float], where: str
    ) -> tuple[int, tuple[float, float, float, float]] | None:
        """Class and corners; None, and counted, of a class that there is not."""
        class_id = self._classes.find(values[0], where)
        if class_id is None:
            return None
        if len(values) == 7 and values[6] != 0:
            self._problems.add("rotated box (taken as upright)", where, Effect.CHANGED)
        _, x0, y0, x1, y1, *_ = values
        if x1 % 1 > 0 or y1 % 1 > 0:
            self._problems.add(FRACTIONS, where)
        return class_id, (x0, y0, x1, y1)


def _numbers(columns: list[str]) -> list[float] | None:
    if len(columns) not in _COLUMNS:
        return None
    try:
        return [float(column) for column in columns]
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
