"""Annotation formats: make records from (image, annotation) pairs.

A reader raises no errors for mistakes in a file: it counts them in `Reading.problems` and goes on.
Both ark and YOLO are lines in .txt files; `looks_like_yolo` tells them apart.
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
"""Name of a format -> its reader."""
