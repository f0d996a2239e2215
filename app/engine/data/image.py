"""Image files: one policy for what a file's pixels are, wherever they are used.

The content decides, never the name. EXIF orientation is applied, also to sizes. Animations give
their first frame, transparency is dropped (hidden pixels show), more than 8 bits become 8 as a
`Depth` says.

H, W: height and width as displayed
"""

import errno
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from app.engine.data.deep import (
    Depth,
    Stored,
    Values,
    eight_bits,
    is_cut,
    low_half,
    mend_decoding,
)
from app.engine.data.kinds import NoPictureError, check_tiff, kind_of_file
from app.engine.errors import (
    ConfigError,
    DoesNotFitError,
    ImageError,
    StorageError,
    printable,
)
from app.engine.structures.deep import Deep
from app.engine.structures.size import Size

Pixels = npt.NDArray[Any]
"""(H, W, C) uint8, or float64 for YUV-BT.601."""

MAX_PIXELS = 180_000_000
"""Larger images are refused by their header, before any memory is taken."""

UNDECIDED = Depth()

FORMATS = ("BGR", "RGB", "L", "YUV-BT.601")

# Pillow knows many more: some start other programs (EPS), most were never fuzzed by anyone.
_FILE_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")

_HEADER = 1 << 16  # bytes

_RGB_TO_YUV = np.array(
    [[0.299, 0.587, 0.114], [-0.14713, -0.28886, 0.436], [0.615, -0.51499, -0.10001]]
)

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_BYTES_A_PIXEL = 20
"""That decoding may take (JPEG 2000, WebP)."""

# What Pillow's decoders are known to raise for damaged files.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


def read_image(
    path: Path, format: str = "BGR", depth: Depth = UNDECIDED, met: list[Deep] | None = None
) -> Pixels:
    """Pixels as displayed: (H, W, 3) uint8, (H, W, 1) for "L", float64 for "YUV-BT.601".

    `depth` says what is white in an image with more than 8 bits; `met` gets what was met in one.
    Raises ImageError for everything that is not a readable picture; one of them is StorageError,
    where the file cannot be had, and one DoesNotFitError, where memory is too small for it.
    """
    check_format(format)
    with _explained(path):
        return pixels_of(_picture(path, format, depth, met), format)


def read_picture(
    path: Path, format: str, depth: Depth = UNDECIDED, met: list[Deep] | None = None
) -> Image.Image:
    """`read_image` before it becomes an array: in mode L for "L", RGB for all others."""
    check_format(format)
    with _explained(path):
        return _picture(path, format, depth, met)


def stored_values(path: Path) -> Values | None:
    """The values of an image with more than 8 bits as they are stored; None for all others.

    (H, W) or (H, W, C) without transparency. ImageError also where no low bytes can be decoded.
    """
    with _explained(path):
        stored = _load(_content(path))
        if stored.is_cut:
            raise ImageError("its decoder gives only the high byte of each colour; save it as PNG")
        return stored.values() if stored.is_integer or stored.is_float else None


def is_deep(path: Path) -> bool:
    """Whether an image has more than 8 bits a value, as its header says."""
    with _explained(path):
        _check_regular(path)
        with path.open("rb") as file:
            image = _open(file)
            wide = low_half(image, lambda: image)
            file.seek(0)
            stored = Stored(image, wide, is_cut(image, file.read(_HEADER)))
            return stored.is_integer or stored.is_float


def pixels_of(picture: Image.Image, format: str) -> Pixels:
    """The array of a picture as `read_picture` gives it for the same format."""
    if format == "L":
        return np.array(picture)[:, :, None]
    if format == "RGB":
        return np.array(picture)
    if format == "BGR":
        # Pillow writes BGR as fast as RGB; reversing an array afterwards is slow.
        packed = np.frombuffer(picture.tobytes("raw", "BGR"), dtype=np.uint8)
        return packed.reshape(picture.height, picture.width, 3).copy()
    yuv: Pixels = (np.asarray(picture) / 255.0) @ _RGB_TO_YUV.T
    return yuv


def read_labels(path: Path) -> npt.NDArray[Any]:
    """Label map (H, W), integers as stored: grey values, or palette indices; no scaling."""
    with _explained(path):
        image = _load(_content(path)).image
        image = _upright(image, image)
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise ImageError(f"a label map has one channel, this one is {image.mode}")
        return np.array(image)


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
    with _explained(path):
        _check_regular(path)
        with path.open("rb") as file:
            image = _open(file)
            if image.format == "PNG" and _has_late_metadata(file):
                file.seek(0)
                image = _open(file)
                image.load()
            width, height = image.size
            orientation = _orientation(image)
            if whole and not _reaches_its_end(image, file):
                _load(path.read_bytes())
            # Pillow turns TIFF sizes by itself.
            if image.format != "TIFF" and orientation >= 5:
                width, height = height, width
            return Header((height, width), orientation)


def image_suffixes() -> frozenset[str]:
    """How the names of files end that can be read, in lower case: .jpg, .jp2, .pgm, ..."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, format in known if format in _FILE_FORMATS)


def check_format(format: str) -> None:
    """Refuse an INPUT.FORMAT that `read_image` cannot give."""
    if format not in FORMATS:
        raise ConfigError(f"INPUT.FORMAT is {format!r}; use one of {', '.join(FORMATS)}")


def _check_regular(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a regular file")
    if status.st_size == 0:
        raise ImageError("the file is empty")


def _content(path: Path) -> bytes:
    _check_regular(path)
    return path.read_bytes()


def _open(file: IO[bytes]) -> ImageFile:
    """Parse the header; refuse what would be too large to decode, or misread."""
    # Pillow warns above its own limit: silence it below ours, in this process only.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    # What it says about odd metadata of readable images helps nobody. (`catch_warnings` would not
    # do: sizes are read in threads.)
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


def _load(data: bytes) -> Stored:
    image = _open(io.BytesIO(data))
    if image.format in _WITH_END and data.endswith(_ZEROS):
        _refuse_zeros_as_picture(image, data)
    low = low_half(image, lambda: _open(io.BytesIO(data)))
    cut = low is None and is_cut(image, data)
    try:
        image.load()
    except OSError as error:
        if image.format not in ("JPEG", "MPO") or "truncated" not in str(error):
            raise
        return Stored(_load_without_end(data, error))
    return Stored(image, low, cut)


_END_OF_JPEG = b"\xff\xd9"
_END_OF_PNG = b"IEND\xaeB`\x82"
_WITH_END = ("JPEG", "MPO", "PNG", "WEBP")
_ZEROS = bytes(64)
# Pictures alone: others may end with metadata, and that with zeros.
_PLAIN_WEBP = (b"VP8 ", b"VP8L")


def _refuse_zeros_as_picture(image: ImageFile, data: bytes) -> None:
    """Space that was never written to decodes as grey or black; only behind the picture is it
    harmless. Where pixels are stored as they are, it cannot be told from black ones.
    """
    content = data.rstrip(b"\0")
    if image.format == "PNG":
        is_whole = _END_OF_PNG in content
    elif image.format == "WEBP":
        stated = int.from_bytes(data[4:8], "little")
        is_whole = data[12:16] not in _PLAIN_WEBP or len(content) + len(_ZEROS) > stated
    else:
        is_whole = content.endswith(_END_OF_JPEG)
    if not is_whole:
        missing = len(data) - len(content)
        raise ImageError(f"the copy is not complete: its last {missing} bytes are zero")


def _reaches_its_end(image: ImageFile, file: IO[bytes]) -> bool:
    """Whether the file is as long as its format says; True where the format does not say it."""
    file_size = file.seek(0, io.SEEK_END)
    file.seek(max(file_size - 8, 0))
    tail = file.read()
    if image.format in ("JPEG", "MPO", "JPEG2000"):
        return tail.endswith(_END_OF_JPEG)
    if image.format == "PNG":
        return tail.startswith(b"IEND")
    if image.format == "GIF":
        return tail.endswith(b";")
    if image.format == "WEBP":
        return any(tail)
    return _stated_size(image, file) <= file_size


def _stated_size(image: ImageFile, file: IO[bytes]) -> int:
    """Bytes that a file must have by its header; 0 where that is not known."""
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


_PARTS = ((273, 279), (324, 325))  # TIFF's tags for the places and sizes of strips and of tiles


def _load_without_end(data: bytes, error: OSError) -> Image.Image:
    """A JPEG that lacks only its end marker is whole; one that lacks picture data is not.

    Two different continuations tell them apart: only a decoder that still wants data reads them.
    """
    data = data.removesuffix(b"\xff")
    images = []
    for continuation in (b"", b"\x55" * 64):
        image = _open(io.BytesIO(data + continuation + b"\xff\xd9"))
        try:
            image.load()
        except OSError:
            raise error from None
        images.append(image)
    if images[0].tobytes() != images[1].tobytes():
        raise error
    return images[0]


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where the file says nothing sensible."""
    try:
        # The base class's method: PNG's own would decode the whole image first.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except _DECODER_ERRORS:
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


def _picture(path: Path, format: str, depth: Depth, met: list[Deep] | None) -> Image.Image:
    stored = _load(_content(path))
    image = _upright(eight_bits(stored, depth, met), stored.image)
    return image.convert("L") if format == "L" else _rgb(image)


def _upright(image: Image.Image, as_opened: Image.Image) -> Image.Image:
    """Turned as EXIF says."""
    turn = _TURN.get(_orientation(as_opened))
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    # Without this entry Pillow has nothing to warn about when it drops a palette's transparency.
    image.info.pop("transparency", None)
    return image.convert("RGB")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever a decoder raises inside becomes an ImageError that says what is wrong."""
    try:
        yield
    except _DECODER_ERRORS as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: BaseException) -> ImageError:
    # Decoders raise OSErrors without a number, but for EINVAL: an offset that no file can have.
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
    """Whether memory is too small for an image that was not read: decoders seldom say so.

    A damaged one, which may ask for more than its pixels need, is not meant.
    """
    try:
        _check_regular(path)
        with path.open("rb") as file:
            width, height = _open(file).size
        np.empty(path.stat().st_size + _BYTES_A_PIXEL * width * height, dtype=np.uint8)
    except MemoryError:
        return True
    except _DECODER_ERRORS:
        return False
    return False
