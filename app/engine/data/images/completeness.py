"""Detect incomplete image files: interrupted copies are cut off or end in zeros."""

import io
from typing import IO

from PIL.ImageFile import ImageFile

from app.engine.errors import ImageError

END_OF_JPEG = b"\xff\xd9"
_END_OF_PNG = b"IEND\xaeB`\x82"
_WITH_END = ("JPEG", "MPO", "PNG", "WEBP")
_ZEROS = bytes(64)
# Chunks of files with nothing but a picture: other files may end with metadata that end in zeros.
_PLAIN_WEBP = (b"VP8 ", b"VP8L")
_PARTS = ((273, 279), (324, 325))  # TIFF's tags for the places and sizes of strips and of tiles


def refuse_zeros(image: ImageFile, data: bytes) -> None:
    """Raise ImageError if zeros replace the end of a picture, as interrupted copies leave them.

    They would be decoded as grey or black; zeros after the picture are harmless. In formats without
    compression they cannot be told from black pixels.
    """
    if image.format not in _WITH_END or not data.endswith(_ZEROS):
        return
    content = data.rstrip(b"\0")
    if image.format == "PNG":
        is_whole = _END_OF_PNG in content
    elif image.format == "WEBP":
        stated = int.from_bytes(data[4:8], "little")
        is_whole = data[12:16] not in _PLAIN_WEBP or len(content) + len(_ZEROS) > stated
    else:
        is_whole = content.endswith(END_OF_JPEG)
    if not is_whole:
        missing = len(data) - len(content)
        raise ImageError(f"the copy is not complete: its last {missing} bytes are zero")


def reaches_its_end(image: ImageFile, file: IO[bytes]) -> bool:
    """Whether the file has the length or end that its format demands; True if it demands none."""
    file_size = file.seek(0, io.SEEK_END)
    file.seek(max(file_size - 8, 0))
    tail = file.read()
    if image.format in ("JPEG", "MPO", "JPEG2000"):
        return tail.endswith(END_OF_JPEG)
    if image.format == "PNG":
        return tail.startswith(b"IEND")
    if image.format == "GIF":
        return tail.endswith(b";")
    if image.format == "WEBP":
        return any(tail)
    return _stated_size(image, file) <= file_size


def _stated_size(image: ImageFile, file: IO[bytes]) -> int:
    """The smallest number of bytes that the header demands; 0 if not known."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        places = (zip(tags.get(at, ()), tags.get(size, ()), strict=False) for at, size in _PARTS)
        return max((start + size for parts in places for start, size in parts), default=0)
    if image.format == "PPM" and image.tile[0].codec_name == "raw" and image.mode != "1":
        return image.tile[0].offset + image.width * image.height * len(image.getbands())
    if image.format == "BMP":
        file.seek(2)
        return int.from_bytes(file.read(4), "little")
    return 0
