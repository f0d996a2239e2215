"""Ark: one text file per image, one object per line, columns separated by commas.

class index, xmin, ymin, xmax, ymax [, quality [, rotation]]

The maxima are inclusive pixel indices, so a box ends one pixel further. Quality, the annotator's
certainty, is not used; of a rotated box the rotation is not used.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.engine.data.formats._class_list import check_class_lists
from app.engine.data.formats._format import Format
from app.engine.data.formats._lines import COMMENT, LineReader, Lines, label_files, yolo_columns
from app.engine.data.formats._reading import Reading
from app.engine.data.formats._records import ParsedObject, edges
from app.engine.data.formats._text import number_of
from app.engine.data.problems import Effect
from app.engine.structures.record import ImageRecord
from app.engine.structures.size import Size

WRONG_LINE = "line that is not 5 to 7 numbers (dropped)"
TRAILING = "line with a comma at its end (read without it)"
SEMICOLONS = "line with semicolons in place of commas (read)"
HEADER = "first line without a number (taken as a header)"
FRACTIONS = "box with fractions of a pixel (its maxima are taken as the last pixels all the same)"
FOREIGN = "lines of YOLO, separated by blanks, among those of ark"

_COLUMNS = (5, 6, 7)


def read(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
    """Read records of (image, annotation) pairs; a class number is a position in `class_names`."""
    reader = _Reader(reading)
    records, used = reader.records(label_files(pairs, reading.problems))
    check_class_lists(used, reading.class_names, reading.problems)
    reader.tell_foreign(FOREIGN)
    return records


class _Reader(LineReader):
    def objects(self, annotation: Path, lines: Lines, size: Size) -> Iterator[ParsedObject]:
        """See `LineReader`; the size is not used, since the numbers are in pixels."""
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
                self.problems.add(COMMENT, where)
                continue
            elif yolo_columns(line) is not None:
                self.foreign.setdefault(annotation, where)
            elif may_be_header and not any(
                number_of(part) is not None for part in re.split("[;,]", line)
            ):
                self.problems.add(HEADER, where)
            else:
                self.problems.add(WRONG_LINE, where, Effect.DROPPED)
            may_be_header = False

    def _mended(self, line: str, where: str) -> list[float] | None:
        """The numbers of a line with small mistakes, which are counted; None if not usable."""
        text = line if "," in line else line.replace(";", ",")
        first, *others = text.rstrip(", ").split(",")
        numbers = _numbers(["0", *others])
        class_number = None if numbers is None else self.class_number(first, where)
        if numbers is None or class_number is None:
            return None
        if text != line:
            self.problems.add(SEMICOLONS, where)
        elif text.endswith(","):
            self.problems.add(TRAILING, where)
        return [class_number, *numbers[1:]]

    def _checked(self, values: list[float], where: str) -> ParsedObject | None:
        """The object; None for an unknown class, which is counted."""
        class_id = self.find_class(values[0], where)
        if class_id is None:
            return None
        if len(values) == 7 and values[6] != 0:
            self.problems.add("rotated box (taken as upright)", where, Effect.CHANGED)
        _, x0, y0, x1, y1, *_ = values
        if x1 % 1 > 0 or y1 % 1 > 0:
            self.problems.add(FRACTIONS, where)
        return ParsedObject(class_id, edges((x0, y0, x1, y1), inclusive=True))


def _numbers(columns: list[str]) -> list[float] | None:
    if len(columns) not in _COLUMNS:
        return None
    try:
        return [float(column) for column in columns]
    except ValueError:
        return None


FORMAT = Format(read=read, words=("ark:raw", "det-ark:raw"), suffix=".txt")
