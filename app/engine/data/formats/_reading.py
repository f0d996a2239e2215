"""What the reader of one set of images is told, and what it tells."""

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

_MAX_SAMPLED = 200_000  # objects; more would say the same


@dataclass(frozen=True, slots=True)
class Conventions:
    """What the writer of annotation files meant where the files leave it open.

    frame    in which picture boxes lie. shown: the one turned as EXIF says; stored: the one before
             that; scaled: one of the annotated size, whatever it is. auto: shown, and the set is
             refused where the annotated size is that of the stored picture only
    corners  whether the last row and column of a VOC box belong to it. auto: see `voc`
    """

    frame: Frame = "auto"
    corners: Corners = "auto"


@dataclass(slots=True)
class Facts:
    """Numbers as the files have them, before any check, of at most 200,000 objects.

    boxes          x0 y0 x1 y1 of each object, one after the other, maybe inverted or outside
    sizes          height and width of its image
    class_numbers  how often a file that numbers its classes uses each number, wrong ones, too
    """

    boxes: "array[float]" = field(default_factory=lambda: array("d"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    class_numbers: "Counter[float]" = field(default_factory=Counter)

    def add(self, box: tuple[float, float, float, float], size: Size) -> None:
        """One object of an asked-for class."""
        if len(self.sizes) < 2 * _MAX_SAMPLED:
            self.boxes.extend(box)
            self.sizes.extend(size)


@dataclass(slots=True)
class Decisions:
    """What reading one set of images decided and later sets of the same task keep to.

    corners  of VOC boxes where neither a setting nor their file says it; None: not decided yet
    names    the class names that the files used so far
    images   the image of each entry of a COCO file (its path and the entry's id) that has one
    """

    corners: Literal["inclusive", "exclusive"] | None = None
    names: set[str] = field(default_factory=set)
    images: dict[tuple[Path, int | str], Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """One set of images being read: what is known beforehand, and what is found out.

    class_names  the asked-for classes; a class is known by its position
    decisions    of the sets read before, and of this one
    problems     what was wrong, counted
    facts        what the numbers look like, for `data.smells`
    remarks      what was assumed of all files, one sentence each
    """

    class_names: Sequence[str]
    conventions: Conventions = Conventions()
    decisions: Decisions = field(default_factory=Decisions)
    problems: Problems = field(default_factory=Problems)
    facts: Facts = field(default_factory=Facts)
    remarks: list[str] = field(default_factory=list)
