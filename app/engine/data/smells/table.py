"""The table of smells, and the check of a set for them."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from app.engine.config.smells import SmellName
from app.engine.data.smells import boxes, objects
from app.engine.data.smells.blank import blank
from app.engine.data.smells.scent import MIN_OBJECTS, Scent
from app.engine.errors import DatasetError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Smell:
    """A sign that something is wrong.

    statistic  returns a sentence with numbers and a remedy; None if there is no sign
    stops      whether a set with the smell cannot be trained on
    of_shares  whether it is skipped for sets with few boxes, of which shares are not meaningful
    is_xywh    applies to formats with corner and size (True) or corners (False) only; None: to both
    """

    statistic: Callable[[Scent], str | None]
    stops: bool
    of_shares: bool = False
    is_xywh: bool | None = None

    def sniff(self, scent: Scent) -> str | None:
        """Return the sentence if the set has the smell."""
        if self.of_shares and len(scent.boxes) < MIN_OBJECTS:
            return None
        return self.statistic(scent) if self.is_xywh in (None, scent.is_xywh) else None


SMELLS = {
    SmellName.XYXY: Smell(boxes.xyxy, stops=True, of_shares=True, is_xywh=True),
    SmellName.XYWH: Smell(boxes.xywh, stops=True, of_shares=True, is_xywh=False),
    SmellName.XXYY: Smell(boxes.xxyy, stops=True, of_shares=True, is_xywh=False),
    SmellName.NORMALISED: Smell(boxes.normalised, stops=True, of_shares=True),
    SmellName.SWAPPED_AXES: Smell(boxes.swapped_axes, stops=True, of_shares=True),
    SmellName.CENTRED: Smell(boxes.centred, stops=True, of_shares=True),
    SmellName.UPSIDE_DOWN: Smell(boxes.upside_down, stops=False, of_shares=True),
    SmellName.OUTSIDE: Smell(boxes.outside, stops=True, of_shares=True),
    SmellName.CORNER: Smell(boxes.corner, stops=False),
    SmellName.COLUMN: Smell(objects.other_column, stops=True),
    SmellName.NUMBERS_FROM_1: Smell(objects.numbers_from_one, stops=True),
    SmellName.NUMBERS_BEYOND: Smell(objects.numbers_beyond, stops=False),
    SmellName.SHIFTED_IDS: Smell(objects.shifted_ids, stops=True),
    SmellName.DROPPED: Smell(objects.dropped, stops=True),
    SmellName.CROWDS: Smell(objects.crowds, stops=False),
    SmellName.DOUBLED: Smell(objects.doubled, stops=False),
    SmellName.OTHER_IMAGES: Smell(objects.other_files, stops=True),
    SmellName.BLANK: Smell(blank, stops=True),
}
"""Smells of one set; only OVERLAP compares two sets. Add a line for a new smell."""


def sniff(name: str, scent: Scent, accepted: Collection[str], *, key: str) -> None:
    """Warn of a set's smells; raise DatasetError with a line for each that stops the training.

    name      name of the set in the messages
    accepted  names of smells that the user has found to be harmless
    key       name of the setting with the accepted smells
    """
    stopping = []
    for smell_name, smell in SMELLS.items():
        sentence = smell.sniff(scent)
        if sentence is None:
            continue
        text = f"{name} set: smell {smell_name}: {sentence}"
        if smell.stops and smell_name not in accepted:
            stopping.append(f"{text} (if it is right as it is, set {key}: {smell_name})")
        else:
            logger.warning("%s%s", text, " (accepted)" if smell_name in accepted else "")
    if stopping:
        raise DatasetError("\n".join(stopping))
