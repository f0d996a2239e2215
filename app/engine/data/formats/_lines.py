"""The common parts of ark and YOLO: one object per line, with its class as a number."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from app.engine.data.formats._frames import frame_map, moved
from app.engine.data.formats._reading import Reading
from app.engine.data.formats._records import (
    ParsedObject,
    build_record,
    readable_pairs,
    tell_shared,
)
from app.engine.data.formats._text import read_lines
from app.engine.data.images.headers import Header
from app.engine.data.problems import Effect, Problems
from app.engine.structures.class_names import plain_name
from app.engine.structures.record import ImageRecord
from app.engine.structures.size import Size

COMMENT = "line that begins with # (taken as a comment)"
CLASS_NAME = "class name in place of its number (read)"

_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")


Lines = Sequence[tuple[int, str]]
"""Number and text of each line that is not blank."""

LabelFile = tuple[Path, Header, Path, Lines]
"""An image, its header, its annotation file and the lines of that."""


def label_files(pairs: Sequence[tuple[Path, Path]], problems: Problems) -> Iterator[LabelFile]:
    """Yield the (image, annotation) pairs that can be read."""
    for image, annotation, header in readable_pairs(pairs, problems):
        lines = read_lines(annotation, problems)
        if lines is not None:
            yield image, header, annotation, lines


class LineReader(ABC):
    """Reads the label files of one set.

    own      file and line of the first object
    foreign  the file with lines of the other format -> file and line of the first of them
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.problems = reading.problems
        self.own = ""
        self.foreign: dict[Path, str] = {}
        self._numbers = {plain_name(name): i for i, name in enumerate(reading.class_names)}
        self._outside = f"class index outside 0..{len(reading.class_names) - 1} (dropped)"

    @abstractmethod
    def objects(self, annotation: Path, lines: Lines, size: Size) -> Iterator[ParsedObject]:
        """Yield the objects of a file, in pixels of a picture of `size`."""

    def records(self, files: Iterable[LabelFile]) -> tuple[list[ImageRecord], list[Path]]:
        """Return records, and the files with objects."""
        records: list[ImageRecord] = []
        used: list[Path] = []
        for image, header, annotation, lines in files:
            frame = frame_map(None, header, self.reading, str(annotation))
            assert frame is not None  # only an annotated size can contradict
            is_stored = self.reading.conventions.frame == "stored"
            size = header.stored_size if is_stored else header.size
            record = build_record(
                image,
                header.size,
                (
                    moved(found, frame, header.size)
                    for found in self.objects(annotation, lines, size)
                ),
                image_id=len(records),
                reading=self.reading,
            )
            records.append(record)
            if len(record):
                used.append(annotation)
        tell_shared(used, self.problems)
        return records, used

    def class_number(self, text: str, where: str) -> float | None:
        """The number in a column, or the number of the class it names; None for other texts."""
        try:
            return float(text)
        except ValueError:
            named = self._numbers.get(plain_name(text))
        if named is None:
            return None
        self.problems.add(CLASS_NAME, f"{where}: {text} as {named}", Effect.CHANGED)
        return float(named)

    def find_class(self, number: float, where: str) -> int | None:
        """The class of one object; None if no class has this number, which is counted."""
        self.reading.facts.class_numbers[number] += 1
        if 0 <= number < len(self.reading.class_names) and number.is_integer():
            return int(number)
        self.problems.add(self._outside, f"{where}: class {number:g}", Effect.DROPPED)
        return None

    def tell_foreign(self, kind: str) -> None:
        """Count the files with lines of the other format, which make the set unreadable."""
        for where in self.foreign.values():
            beside = f"{where} (and {self.own} of the other kind)" if self.own else where
            remedy = "write all labels in one of the formats"
            self.problems.add(kind, beside, Effect.STOPS, remedy=remedy)


def yolo_columns(line: str) -> list[str] | None:
    """The columns of a line in YOLO's format (a class and at least four numbers, separated by
    blanks); None for other lines.
    """
    columns = line.split()
    if len(columns) < 5:
        return None
    if "," in line:
        columns = [_DECIMAL_COMMA.sub(".", column) for column in columns]
    try:
        for column in columns[1:]:
            float(column)
    except ValueError:
        return None
    return columns


def looks_like_yolo(annotations: Iterable[Path]) -> bool:
    """Whether the first line that is clearly of one of both formats is YOLO's and not ark's."""
    for path in annotations:
        for _, line in read_lines(path, Problems()) or ():
            if yolo_columns(line) is not None:
                return True
            if "," in line or ";" in line:
                return False
    return False
