"""The interface of a source: a layout in which people keep their labelled images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from app.engine.data.formats import Conventions, Reading
from app.engine.data.problems import Effect, Problems
from app.engine.structures.record import ImageRecord
from app.exchange.sources._place import Place

Split = Literal["train", "val", "test"]

UNLABELLED = "image without an annotation (left out)"
SEVERAL_SETS = "image that the source has in several sets (the first of train, val and test counts)"


@dataclass(frozen=True, slots=True)
class Request:
    """What a source is asked to read.

    conventions  what its files do not say about their boxes
    scratch      a folder for images that annotation files contain
    """

    place: Place
    scratch: Path
    conventions: Conventions = field(default_factory=Conventions)

    def reading(self, class_names: Sequence[str] = ()) -> Reading:
        """An account of what is read, still empty."""
        return Reading(class_names, self.conventions)


@dataclass(frozen=True, slots=True)
class Content:
    """What a source holds.

    records  usable images with their objects; classes are positions in `reading.class_names`
    reading  the classes in the source's order, and what was left out or changed
    splits   the set of each image, as far as the source says
    is_xywh  whether its boxes are written as corner and size
    """

    records: list[ImageRecord]
    reading: Reading
    splits: dict[Path, Split] = field(default_factory=dict)
    is_xywh: bool = False

    @property
    def num_listed(self) -> int:
        """The number of its images, usable or not."""
        lost = self.reading.problems.with_effect(Effect.BROKEN, Effect.LEFT_OUT)
        return len(self.records) + sum(lost.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A layout.

    recognise      returns what shows that a place has this layout, such as "3 COCO files";
                   '' if it has another one
    read           reads everything; raises DatasetError if the place is certainly wrong
    looked_for     what `recognise` looks for, for the message that nothing was recognised
    is_labelled    False for images without annotations
    """

    recognise: Callable[[Place], str]
    read: Callable[[Request], Content]
    looked_for: str
    is_labelled: bool = True


def tell_unlabelled(content: Content, place: Place, *, used: set[Path]) -> None:
    """Count the images of the place that no annotation names; `used` are those that one names."""
    for image in place.images:
        if image not in used:
            content.reading.problems.add(UNLABELLED, place.shown(image), Effect.LEFT_OUT)


def assign(splits: dict[Path, Split], image: Path, split: Split, problems: Problems) -> None:
    """Put an image into a set unless it is in one already; sets are to be read in their order."""
    if splits.setdefault(image, split) != split:
        problems.add(SEVERAL_SETS, f"{image}: {splits[image]} and {split}")


def renumbered(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """The records with their positions as ids."""
    return [replace(record, image_id=number) for number, record in enumerate(records)]


def counted(number: int, what: str, example: str) -> str:
    """`3 COCO files (a/b.json, ...)`."""
    plural = what if number == 1 else f"{what}s"
    return f"{number} {plural} ({example}{', ...' if number > 1 else ''})"
