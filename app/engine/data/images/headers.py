"""Read size, orientation and depth from the headers of image files."""

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
    """The header of an image file.

    size         (height, width) as displayed
    orientation  EXIF orientation, 1..8; 1 if there is none
    """

    size: Size
    orientation: int = 1

    @property
    def stored_size(self) -> Size:
        """(height, width) before the EXIF orientation is applied."""
        return (self.size[1], self.size[0]) if self.orientation >= 5 else self.size


def image_size(path: Path) -> Size:
    """(height, width) as displayed; reads only the header if the file format allows."""
    return image_header(path).size


def image_header(path: Path, *, whole: bool = False) -> Header:
    """Read size and orientation; reads only the header if the file format allows.

    whole  whether to raise ImageError also for a file that ends too early: its end is checked, and
           the file is decoded only if that seems to be missing
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
            # Pillow applies the orientation to TIFF sizes itself.
            if image.format != "TIFF" and orientation >= 5:
                width, height = height, width
            return Header((height, width), orientation)


def is_deep(path: Path) -> bool:
    """Whether an image has more than 8 bits per value by its header."""
    with explained(path):
        check_regular(path)
        with path.open("rb") as file:
            image = open_image(file)
            wide = low_half(image, lambda: image)
            file.seek(0)
            stored = Stored(image, wide, is_cut(image, file.read(_HEADER)))
            return stored.is_integer or stored.is_float


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 if it is missing or invalid."""
    try:
        # The base class's method is called, because PNG's method would decode the whole image.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _has_late_metadata(file: IO[bytes]) -> bool:
    """Whether a PNG has chunks after its pixels that may contain EXIF."""
    file.seek(8)
    seen_pixels = False
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if seen_pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            return True
        seen_pixels = seen_pixels or kind == b"IDAT"
        file.seek(length + 4, io.SEEK_CUR)
    return False
