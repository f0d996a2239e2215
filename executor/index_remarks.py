"""Oddities of an index file, counted and logged once."""

import logging
from collections import Counter
from pathlib import Path

from executor.errors import DatasetError
from executor.index_paths import ANNOTATION_SUFFIXES, file_of, is_odd, is_there

logger = logging.getLogger(__name__)

_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Usual suffixes; an image may have any other, or none."""


class Remarks:
    """Count oddities while an index is read.

    header          the first line, if it names columns
    num_duplicates  number of lines that repeat an earlier image
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = path.parent
        self.header = ""
        self.num_duplicates = 0
        self._num = 0
        self._swapped: list[tuple[str, str]] = []
        self._readings: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def look_at(self, image: str, annotation: str | None) -> None:
        """Count the oddities of one line."""
        self._num += 1
        if is_odd(image):
            self._look_at_path(image)
        if annotation is not None:
            if is_odd(annotation):
                self._look_at_path(annotation)
            if _is_disordered(image, annotation):
                self._swapped.append((image, annotation))

    def _look_at_path(self, text: str) -> None:
        how = file_of(text, self._folder)[1]
        if how:
            self._readings[how] += 1
            self._examples.setdefault(how, text)
        elif "\r" in text:
            self._refuse_lone_returns(text)

    def _refuse_lone_returns(self, text: str) -> None:
        line, _, rest = text.partition("\r")
        if rest and not is_there(Path(text)) and is_there(file_of(line, self._folder)[0]):
            raise DatasetError(
                f"{self.path}: the lines end in carriage returns alone, as {line!r} does; save the"
                " index with line feeds"
            )

    def report(self) -> None:
        """Log all remarks; DatasetError if the columns are swapped."""
        if self.header:
            logger.warning("%s: the first line is read as a header: %r", self.path, self.header)
        if self.num_duplicates:
            logger.warning(
                "%s: %d repeated images are taken once; list each in one line",
                self.path,
                self.num_duplicates,
            )
        for how, count in self._readings.items():
            logger.warning(
                "%s: %d paths do not exist as they are written and are read %s, such as %r",
                self.path,
                count,
                how,
                self._examples[how],
            )
        if len(self._swapped) > self._num / 2:
            first, second = self._swapped[0]
            raise DatasetError(
                f"{self.path}: {len(self._swapped)} of {self._num} lines begin with no image, such"
                f" as {first!r} before {second!r}: the columns are swapped; write the image's"
                " path, a TAB, and the annotation's path"
            )


def _is_disordered(first: str, second: str) -> bool:
    """Whether an annotation, or something that is no image, stands before the image."""
    if _is_annotation(first):
        return not _is_annotation(second)
    return second.lower().endswith(_IMAGES) and not first.lower().endswith(_IMAGES)


def _is_annotation(text: str) -> bool:
    return text.rstrip(" \"'\r").lower().endswith(ANNOTATION_SUFFIXES)
