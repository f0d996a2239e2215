"""What the headers of image files say: size, orientation, depth."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import ExifTags, Image

from app.engine.data.images.completeness import reaches_its_end
from app.engine.data.images.decoding import (
    DECODER_ERRORS,
    check_regular,
    decode,
    explained,
    open_image,
)
from app.engine.data.images.stored import Stored, is_cut, low_half
from app.engine.structures.size import Size

_HEADER = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of an image file says.

    size         (height, width) as displayed
    orientation  EXIF's, 1..8; 1 where there is none
    """

    size: Size
    orientation: int = 1

    @property
    def stored_size(self) -> Size:
        """(height, width) before EXIF's turn."""
        return (self.size[1], self.size[0]) if self.orientation >= 5 else self.size


def image_size(path: Path) -> Size:
    """(height, width) as displayed, from the header alone wherever the file format allows."""
    return image_header(path).size


def image_header(path: Path, *, whole: bool = False) -> Header:
    """Size and orientation, from the header alone wherever the file format allows.

    whole  ImageError also where the file ends too early: the end is looked at, and only a file
           that seems to lack it is decoded
    """
    with explained(path):
        check_regular(path)
        with path.open("rb") as file:
            image = open_image(file)
            if image.format == "PNG" and _has_late_metadata(file):
                file.seek(0)
                image = open_image(file)
                image.load()
            width, height = image.size
            orientation = orientation_of(image)
            if whole and not reaches_its_end(image, file):
                decode(path.read_bytes())
            # Pillow turns TIFF sizes by itself.
            if image.format != "TIFF" and orientation >= 5:
                width, height = height, width
            return Header((height, width), orientation)


def is_deep(path: Path) -> bool:
    """Whether an image has more than 8 bits a value, as its header says."""
    with explained(path):
        check_regular(path)
        with path.open("rb") as file:
            image = open_image(file)
            wide = low_half(image, lambda: image)
            file.seek(0)
            stored = Stored(image, wide, is_cut(image, file.read(_HEADER)))
            return stored.is_integer or stored.is_float


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where the file says nothing sensible."""
    try:
        # The base class's method: PNG's own would decode the whole image first.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _has_late_metadata(file: IO[bytes]) -> bool:
    """Whether a PNG carries chunks that may hold EXIF behind its pixels."""
    file.seek(8)
    seen_pixels = False
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if seen_pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            return True
        seen_pixels = seen_pixels or kind == b"IDAT"
        file.seek(length + 4, io.SEEK_CUR)
    return False
