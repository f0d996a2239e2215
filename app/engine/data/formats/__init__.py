"""Annotation formats: from (image, annotation) pairs to records.

A reader never raises for what is wrong in a file: it counts it in `Reading.problems` and goes on.
ark and YOLO are both lines in .txt files: `looks_like_yolo` tells which of them a set is.
"""

from app.engine.data.formats import ark, coco, voc, yolo
from app.engine.data.formats._format import Format
from app.engine.data.formats._lines import looks_like_yolo
from app.engine.data.formats._reading import Conventions, Decisions, Facts, Reading

__all__ = [
    "FORMATS",
    "Conventions",
    "Decisions",
    "Facts",
    "Format",
    "Reading",
    "looks_like_yolo",
]

FORMATS: dict[str, Format] = {
    "ark": ark.FORMAT,
    "voc": voc.FORMAT,
    "coco": coco.FORMAT,
    "yolo": yolo.FORMAT,
}
"""Name -> how such files are read."""
