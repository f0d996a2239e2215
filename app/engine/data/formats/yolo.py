"""YOLO: one text file per image, one object per line, columns separated by blanks.

class index, x and y of the centre, width, height [, something]
class index, x, y, x, y, x, y, ... of a polygon's corners

All numbers but the class are shares of the shown image's width and height. A sixth number (a score,
a track) and keypoints after the box are not used. A polygon is a mask, with the box around it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from app.engine.data.formats._class_list import check_class_lists, numbered
from app.engine.data.formats._format import Format
from app.engine.data.formats._lines import COMMENT, LineReader, Lines, label_files, yolo_columns
from app.engine.data.formats._reading import Reading
from app.engine.data.formats._records import Box, ParsedObject
from app.engine.data.problems import Effect
from app.engine.structures.record import ImageRecord
from app.engine.structures.size import Size

WRONG_LINE = "line that is no class and four numbers or a polygon (dropped)"
NOT_SHARES = "line with numbers that are no shares of the image, 0 to 1 (dropped)"
PIXELS = "lines without commas, as YOLO has, of numbers that are no shares of the image, 0 to 1"
_PIXELS_REMEDY = (
    "divide x and width by the image's width, y and height by its height, or write ark:"
    " class, xmin, ymin, xmax, ymax in pixels, with commas"
)
KEYPOINTS = "keypoints behind a box (not used)"
SIXTH = "sixth number of a line (not used)"
DECIMAL_COMMA = "line with decimal commas (read as points)"
FOREIGN = "lines of ark, separated by commas, among those of YOLO"

_SAMPLE = 1000  # largest number of lines checked for keypoints
_FEW = 3  # fewer lines may look like keypoints by chance
_EPSILON = 0.01
_VISIBILITIES = (0.0, 1.0, 2.0)


def read(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
    """Read records of (image, annotation) pairs; a class number is a position in `class_names`."""
    files = list(label_files(pairs, reading.problems))
    reader = _Reader(reading, has_keypoints=_has_keypoints(lines for *_, lines in files))
    records, used = reader.records(files)
    reader.tell_foreign(FOREIGN)
    _tell(reader, used, reading)
    return records


class _Reader(LineReader):
    """Reads the label files of one set.

    num_lines   number of lines with numbers
    no_shares   number of those with numbers that are no shares, such as pixels or percent
    num_masks   number of polygons
    """

    def __init__(self, reading: Reading, *, has_keypoints: bool) -> None:
        super().__init__(reading)
        self.num_lines = self.no_shares = self.num_masks = 0
        self._has_keypoints = has_keypoints

    def objects(self, annotation: Path, lines: Lines, size: Size) -> Iterator[ParsedObject]:
        """See `LineReader`."""
        for number, line in lines:
            where = f"{annotation}:{number}"
            columns = yolo_columns(line)
            if columns is not None:
                found = self._object(columns, where, size)
                if found is not None:
                    yield found
                if "," in line:
                    self.problems.add(DECIMAL_COMMA, where, Effect.CHANGED)
            elif line.startswith("#"):
                self.problems.add(COMMENT, where)
            elif line.count(",") >= 4:
                self.foreign.setdefault(annotation, where)
            else:
                self.problems.add(WRONG_LINE, where, Effect.DROPPED)

    def _object(self, columns: list[str], where: str, size: Size) -> ParsedObject | None:
        """The object of a line in a picture of `size`; None, counted, for a wrong line."""
        class_number = self.class_number(columns[0], where)
        numbers = [float(column) for column in columns[1:]]
        count, told = len(numbers), ""
        if count > 5 and (self._has_keypoints or _may_be_keypoints(numbers)):
            numbers, told = numbers[:4], KEYPOINTS
        elif count == 5:
            numbers, told = numbers[:4], SIXTH
        if class_number is None or len(numbers) % 2:
            self.problems.add(WRONG_LINE, where, Effect.DROPPED)
            return None
        self.own = self.own or where
        self.num_lines += 1
        if not -1 <= min(numbers) <= max(numbers) <= 2:  # NaN is outside, too
            self.no_shares += 1
            self.problems.add(NOT_SHARES, where, Effect.DROPPED)
            return None
        class_id = self.find_class(class_number, where)
        if class_id is None:
            return None
        if told:
            self.problems.add(told, where)
        return self._in_pixels(class_id, numbers, size)

    def _in_pixels(self, class_id: int, shares: list[float], size: Size) -> ParsedObject:
        """The object with a box or, of more than four numbers, a polygon."""
        height, width = size
        if len(shares) == 4:
            x0, y0, x1, y1 = _centred(shares)
            return ParsedObject(class_id, (x0 * width, y0 * height, x1 * width, y1 * height))
        self.num_masks += 1
        polygon = np.array(shares, dtype=np.float64) * ([width, height] * (len(shares) // 2))
        return ParsedObject(class_id, _around(polygon.tolist()), segmentation=[polygon])


def _centred(numbers: Sequence[float]) -> Box:
    x, y, width, height = numbers
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _around(points: Sequence[float]) -> Box:
    xs, ys = points[::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _has_keypoints(files: Iterable[Sequence[tuple[int, str]]]) -> bool:
    """Whether numbers after the first four are keypoints in a box, not the rest of a polygon: every
    line has equally many, all are inside the box, and the box is inside the image.
    """
    columns = (yolo_columns(line) for lines in files for _, line in lines)
    long = (found[1:] for found in columns if found is not None and len(found) > 9)
    sample = [[*map(float, found)] for found in islice(long, _SAMPLE)]
    if len(sample) < _FEW or len({len(numbers) for numbers in sample}) > 1:
        return False
    return all(_points_inside(numbers) for numbers in sample)


def _points_inside(numbers: Sequence[float]) -> bool:
    x0, y0, x1, y1 = box = _centred(numbers[:4])
    points = zip(numbers[4::2], numbers[5::2], strict=False)
    return all(-_EPSILON <= value <= 1 + _EPSILON for value in box) and all(
        (x0 - _EPSILON <= x <= x1 + _EPSILON and y0 - _EPSILON <= y <= y1 + _EPSILON)
        or (x, y) == (0, 0)
        for x, y in points
    )


def _may_be_keypoints(numbers: Sequence[float]) -> bool:
    """Whether the numbers after a box may be x, y and visibility of keypoints."""
    behind = numbers[4:]
    return len(behind) % 3 == 0 and all(value in _VISIBILITIES for value in behind[2::3])


def _tell(reader: _Reader, annotations: Sequence[Path], reading: Reading) -> None:
    """Add the problems and the remark that concern the whole set."""
    if reader.no_shares > reader.num_lines / 2:
        example = reading.problems.examples(NOT_SHARES)[0]
        for _ in range(reader.no_shares):
            reading.problems.add(PIXELS, example, Effect.STOPS, remedy=_PIXELS_REMEDY)
        return
    if not reader.num_lines:
        return
    lists = check_class_lists(annotations, reading.class_names, reading.problems)
    reading.facts.class_lists.extend(lists)
    source = f" (as in {lists[0]})" if lists else ""
    reading.remarks.append(
        f"labels are read as YOLO's, {reader.num_lines} lines ({reader.num_masks} of them polygons)"
        " with shares of the shown image's width and height; classes in the order of"
        f" class_names{source}: {numbered(reading.class_names)}"
    )


FORMAT = Format(read=read, is_centred=True)
