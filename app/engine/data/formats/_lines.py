"""What ark and YOLO have in common: one object a line, and its class by number."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.engine.data.formats._reading import Reading
from app.engine.data.formats._text import read_lines
from app.engine.data.problems import Effect, Problems
from app.engine.structures.class_names import plain_name

COMMENT = "line that begins with # (taken as a comment)"
CLASS_NAME = "class name in place of its number (read)"

_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")


class Classes:
    """The class of each object by the number, or else the name, in its first column."""

    def __init__(self, reading: Reading) -> None:
        self._problems = reading.problems
        self._used = reading.facts.class_numbers
        self._count = len(reading.class_names)
        self._numbers = {plain_name(name): i for i, name in enumerate(reading.class_names)}
        self._outside = f"class index outside 0..{self._count - 1} (dropped)"

    def number(self, text: str, where: str) -> float | None:
        """The number that a column says, or that of the class that it names; None for neither."""
        try:
            return float(text)
        except ValueError:
            named = self._numbers.get(plain_name(text))
        if named is None:
            return None
        self._problems.add(CLASS_NAME, f"{where}: {text} as {named}", Effect.CHANGED)
        return float(named)

    def find(self, number: float, where: str) -> int | None:
        """Class of one object; None, and counted, where no class has this number."""
        self._used[number] += 1
        if 0 <= number < self._count and number.is_integer():
            return int(number)
        self._problems.add(self._outside, f"{where}: class {number:g}", Effect.DROPPED)
        return None


def yolo_columns(line: str) -> list[str] | None:
    """Columns of a line that is written as YOLO does: a class and at least four numbers, separated
    by blanks. None for all others.
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
    """Whether the first line that says which of both it is, is YOLO's and not ark's."""
    for path in annotations:
        for _, line in read_lines(path, Problems()) or ():
            if yolo_columns(line) is not None:
                return True
            if "," in line or ";" in line:
                return False
    return False


def tell_foreign(kind: str, foreign: Sequence[str], own: str, problems: Problems) -> None:
    """Count the files with lines of the other format, which stops the set.

    foreign  file and line of the first such line of each file
    own      file and line of the first line of the format that is read
    """
    for where in foreign:
        beside = f"{where} (and {own} of the other kind)" if own else where
        problems.add(kind, beside, Effect.STOPS, remedy="write all labels in one of the formats")
