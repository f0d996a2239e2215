"""The input and the findings of the reader of one set of images."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from app.engine.data.problems import Problems
from app.engine.structures.size import Size

Frame = Literal["auto", "shown", "stored", "scaled"]
Corners = Literal["auto", "inclusive", "exclusive"]

_MAX_SAMPLED = 200_000  # objects; more would not change the statistics


@dataclass(frozen=True, slots=True)
class Conventions:
    """Conventions of the writer of annotation files that the files do not contain.

    frame    the picture that boxes refer to. shown: turned by EXIF; stored: not turned; scaled: of
             any annotated size. auto: shown, and the set is refused if the annotated size is only
             that of the stored picture
    corners  whether the last row and column of a VOC box belong to it. auto: see `voc`
    """

    frame: Frame = "auto"
    corners: Corners = "auto"


@dataclass(slots=True)
class Facts:
    """Numbers in the files, before any check, of at most 200,000 objects.

    boxes          x0 y0 x1 y1 of each object, one after the other, maybe inverted or outside
    sizes          height and width of each object's image
    class_numbers  count of each class number in files that number their classes, also invalid ones
    class_lists    lists of names beside such files that agree with the requested classes
    """

    boxes: "array[float]" = field(default_factory=lambda: array("d"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    class_numbers: "Counter[float]" = field(default_factory=Counter)
    class_lists: list[Path] = field(default_factory=list)

    def add(self, box: tuple[float, float, float, float], size: Size) -> None:
        """Add one object of a requested class."""
        if len(self.sizes) < 2 * _MAX_SAMPLED:
            self.boxes.extend(box)
            self.sizes.extend(size)


@dataclass(slots=True)
class Decisions:
    """Decisions made while reading one set of images, kept for later sets of the same task.

    corners  corners of VOC boxes without a setting or a mark in their file; None: not decided yet
    names    the class names used in the files so far
    images   (path of a COCO file, id of an entry) -> the entry's image
    """

    corners: Literal["inclusive", "exclusive"] | None = None
    names: set[str] = field(default_factory=set)
    images: dict[tuple[Path, int | str], Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """The settings for reading one set of images, and the findings.

    class_names  the requested classes; the number of a class is its position
    decisions    decisions of the sets read before and of this one
    problems     counts of mistakes in the data
    facts        numbers in the files, for `data.smells`
    remarks      assumptions about all files, one sentence each
    """

    class_names: Sequence[str]
    conventions: Conventions = Conventions()
    decisions: Decisions = field(default_factory=Decisions)
    problems: Problems = field(default_factory=Problems)
    facts: Facts = field(default_factory=Facts)
    remarks: list[str] = field(default_factory=list)
