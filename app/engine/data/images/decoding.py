"""Decode an image file with Pillow, or raise an ImageError with the reason and a remedy."""

import errno
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from app.engine.data.images.completeness import END_OF_JPEG, refuse_zeros
from app.engine.data.images.kinds import NoPictureError, check_tiff, kind_of_file
from app.engine.data.images.stored import Stored, is_cut, low_half, mend_decoding
from app.engine.errors import DoesNotFitError, ImageError, StorageError
from common.text import printable

MAX_PIXELS = 180_000_000
"""Larger images are refused after their header is read, before memory is allocated."""

# Pillow has many more formats: some start other programs (EPS), most were never fuzzed.
_FILE_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")

_BYTES_A_PIXEL = 20
"""Memory that decoding may need (JPEG 2000, WebP)."""

# Exceptions that Pillow's decoders raise for damaged files.
DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError),
    *(EOFError, MemoryError, RuntimeError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Warning),
)


def image_suffixes() -> frozenset[str]:
    """The suffixes of files that can be read, in lower case: .jpg, .jp2, .pgm, ..."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, format in known if format in _FILE_FORMATS)


def check_regular(path: Path) -> None:
    """Raise ImageError for empty files and for paths such as a pipe, whose reading never ends."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a regular file")
    if status.st_size == 0:
        raise ImageError("the file is empty")


def content_of(path: Path) -> bytes:
    """Read all bytes of a file."""
    check_regular(path)
    return path.read_bytes()


def open_image(file: IO[bytes]) -> ImageFile:
    """Parse the header; raise ImageError for images that are too large or would be misread."""
    # Pillow warns above its own limit, which is lower.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    # Warnings about metadata of readable images are of no use. `catch_warnings` is not safe in the
    # threads that read sizes.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    image = Image.open(file, formats=_FILE_FORMATS)
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"its header says {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width}x{height} pixels exceed the limit of {MAX_PIXELS:,}")
    if image.format == "TIFF":
        check_tiff(image)
    mend_decoding(image)
    return image


def decode(data: bytes) -> Stored:
    """Decode the picture from the content of a file."""
    image = open_image(io.BytesIO(data))
    refuse_zeros(image, data)
    low = low_half(image, lambda: open_image(io.BytesIO(data)))
    cut = low is None and is_cut(image, data)
    try:
        image.load()
    except OSError as error:
        if image.format not in ("JPEG", "MPO") or "truncated" not in str(error):
            raise
        return Stored(_load_without_end(data, error))
    return Stored(image, low, cut)


def _load_without_end(data: bytes, error: OSError) -> Image.Image:
    """Decode a JPEG that lacks only its end marker; raise `error` if it lacks picture data, too.

    The file is decoded with two different continuations: they change the picture only if the
    decoder needs more data.
    """
    data = data.removesuffix(b"\xff")
    images = []
    for continuation in (b"", b"\x55" * 64):
        image = open_image(io.BytesIO(data + continuation + END_OF_JPEG))
        try:
            image.load()
        except OSError:
            raise error from None
        images.append(image)
    if images[0].tobytes() != images[1].tobytes():
        raise error
    return images[0]


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn exceptions of decoders inside the block into an ImageError with reason and remedy."""
    try:
        yield
    except DECODER_ERRORS as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: BaseException) -> ImageError:
    # Decoders raise OSErrors without a number, or EINVAL for an offset that no file can have.
    number = error.errno if isinstance(error, OSError) else None
    if number not in (None, errno.EINVAL, errno.ENOMEM):
        return StorageError(printable(str(path)), os.strerror(number))
    if number == errno.ENOMEM or _lacks_memory(path):
        return DoesNotFitError(
            f"{printable(str(path))}: memory is too small to decode the image; use fewer data"
            " workers (num_workers) or give the container more memory"
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    remedy = "replace the file or leave it out"
    if number == errno.EINVAL:
        reason = "its header is damaged"
    elif isinstance(error, UnidentifiedImageError | NoPictureError):
        kind = error.kind if isinstance(error, NoPictureError) else kind_of_file(path)
        reason, remedy = kind.name, kind.remedy
    return ImageError(
        f"{printable(str(path))}: the image cannot be read ({printable(reason)}); {remedy}"
    )


def _lacks_memory(path: Path) -> bool:
    """Whether memory is too small for an image that was not read: decoders rarely report that.

    False for damaged images for which the decoder needs more memory than for their pixels.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            width, height = open_image(file).size
        np.empty(path.stat().st_size + _BYTES_A_PIXEL * width * height, dtype=np.uint8)
    except MemoryError:
        return True
    except DECODER_ERRORS:
        return False
    return False
