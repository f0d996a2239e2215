"""The interface of an annotation format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.engine.data.formats._reading import Reading
from app.engine.structures.record import ImageRecord

Read = Callable[[Sequence[tuple[Path, Path]], Reading], list[ImageRecord]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """An annotation format, with the properties that settings need.

    read     makes records from (image, annotation) pairs
    words    names of the format in `export_format`; none if no platform writes it
    suffix   suffix of its files; '' if files are recognised by their content
    is_xywh     whether a box is a corner, a width and a height, not two corners
    is_centred  whether a box is a centre, a width and a height
    """

    read: Read
    words: tuple[str, ...] = ()
    suffix: str = ""
    is_xywh: bool = False
    is_centred: bool = False

    def __call__(self, pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
        """Call `read`."""
        return self.read(pairs, reading)
