"""Annotation formats: from (image, annotation) pairs to records.

A reader never raises for what is wrong in a file: it counts it in `Problems` and goes on.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from app.engine.data.formats import ark, coco, voc
from app.engine.data.formats._records import NO_ANNOTATION, NO_IMAGE
from app.engine.data.problems import Problems
from app.engine.structures.sample import ImageRecord

Format = Callable[[Sequence[tuple[Path, Path]], Sequence[str], Problems], list[ImageRecord]]

FORMATS: dict[str, Format] = {
    "ark": ark.read,
    "det-ark": ark.read,
    "voc": voc.read,
    "det-voc": voc.read,
    "coco": coco.read,
    "seg-coco": coco.read,
    "det-coco": coco.read,
}
"""Reader for the word before the colon of an export format (`ark:raw`)."""

BROKEN_FILES = (NO_IMAGE, NO_ANNOTATION)
"""Kinds of problems that leave an image out because a file is missing or damaged."""
