"""The names of smells of data, by which users accept them; `data.smells` finds the smells.

They are in this package because the config is checked before numpy is imported.
"""

from collections.abc import Iterable
from enum import StrEnum

from app.engine.config.unknown import did_you_mean


class SmellName(StrEnum):
    """The names of all smells."""

    XYXY = "xyxy-boxes"
    XYWH = "xywh-boxes"
    XXYY = "xxyy-boxes"
    NORMALISED = "normalised-boxes"
    SWAPPED_AXES = "swapped-axes"
    CENTRED = "centred-boxes"
    UPSIDE_DOWN = "upside-down-boxes"
    OUTSIDE = "boxes-outside"
    CORNER = "boxes-in-a-corner"
    COLUMN = "class-in-another-column"
    NUMBERS_FROM_1 = "class-numbers-from-1"
    NUMBERS_BEYOND = "class-numbers-beyond"
    SHIFTED_IDS = "category-ids-shifted"
    DROPPED = "objects-dropped"
    CROWDS = "crowds"
    DOUBLED = "doubled-objects"
    OTHER_IMAGES = "annotations-of-other-images"
    BLANK = "blank-images"
    OVERLAP = "validation-in-training"


def unknown_smells(names: Iterable[str]) -> list[str]:
    """Return a sentence for each name that is not the name of a smell."""
    known = [*SmellName]
    return [
        f"{name!r} is no smell{did_you_mean(name, known)}; known are {', '.join(known)}"
        for name in dict.fromkeys(names)
        if name not in known
    ]
