"""What is to be written: images with their names, objects and sets."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.engine.data.formats import Reading
from app.engine.structures.record import ImageRecord
from app.exchange.prepare.division import Division
from app.exchange.sources import Split

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Data:
    """What is to be written.

    reading     the chosen classes, and what was left out or changed
    num_listed  number of images in the source, usable or not
    names       of the images, below `assets`
    division    None for candidates of mining and infer
    """

    reading: Reading
    num_listed: int
    records: Sequence[ImageRecord]
    names: Sequence[str]
    division: Division | None

    def of(self, split: Split) -> list[ImageRecord]:
        """The records of a set."""
        return [self.records[index] for index in self._indices(split)]

    def names_of(self, split: Split) -> list[str]:
        """The names of a set's images."""
        return [self.names[index] for index in self._indices(split)]

    def _indices(self, split: Split) -> Sequence[int]:
        return () if self.division is None else self.division.sets[split]
