"""Annotation formats: from (image, annotation) pairs to records.

A reader never raises for what is wrong in a file: it counts it in `Reading.problems` and goes on.
ark and YOLO are both lines in .txt files: `looks_like_yolo` tells which of them a set is.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from app.engine.data.formats import ark, coco, voc, yolo
from app.engine.data.formats._lines import looks_like_yolo
from app.engine.data.formats._reading import Conventions, Decisions, Facts, Reading
from app.engine.structures.sample import ImageRecord

__all__ = [
    "FORMATS",
    "Conventions",
    "Decisions",
    "Facts",
    "Format",
    "Reading",
    "looks_like_yolo",
]

Format = Callable[[Sequence[tuple[Path, Path]], Reading], list[ImageRecord]]

FORMATS: dict[str, Format] = {
    "ark": ark.read,
    "det-ark": ark.read,
    "voc": voc.read,
    "det-voc": voc.read,
    "coco": coco.read,
    "seg-coco": coco.read,
    "det-coco": coco.read,
    "yolo": yolo.read,
}
"""Reader for the word before the colon of an export format (`ark:raw`)."""
