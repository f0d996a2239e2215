"""What a file of this room offers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.engine.data.formats._reading import Reading
from app.engine.structures.sample import ImageRecord

Read = Callable[[Sequence[tuple[Path, Path]], Reading], list[ImageRecord]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A way to write annotations, with what settings have to know of it.

    read     (image, annotation) pairs -> records
    words    what platforms call it in `export_format`; none where no platform writes it
    suffix   of its files; '' where the content of files tells them from others
    is_xywh  a box is a corner, a width and a height, not two corners
    """

    read: Read
    words: tuple[str, ...] = ()
    suffix: str = ""
    is_xywh: bool = False

    def __call__(self, pairs: Sequence[tuple[Path, Path]], reading: Reading) -> list[ImageRecord]:
        """`read`."""
        return self.read(pairs, reading)
