"""Recognise files that cannot be decoded by their content, to name their kind and a remedy.

Only a few kilobytes from the start of a file are read; nothing is decoded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from app.engine import file_kinds
from app.engine.errors import ImageError

_CR2 = b"CR\x02\0"  # after the eight bytes of the TIFF header

_REPLACE = "replace the file or leave it out"
_CONVERT = "convert it to JPEG or PNG"
_DEVELOP = "develop it to JPEG, PNG or TIFF with a RAW converter"
_RENDER = "render it as PNG, or leave it out"
_FRAMES = "write its frames as JPEG or PNG files"
_UNPACK = "unpack it and list the images themselves"
_PIXELS = "write its values as PNG (8 or 16 bits)"
_AGAIN = "copy or download it again"
_DOWNLOAD = "download the picture itself: its address may ask for a login"
_LEAVE_OUT = "leave it out"
_SAVE_PLAINLY = "save it as PNG, or as TIFF with 1 or 3 channels of 8 or 16 bits"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file, and the remedy for the user."""

    name: str
    remedy: str = _REPLACE


class NoPictureError(ImageError):
    """The file is of a known kind that is not read."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind.name)
        self.kind = kind


UNKNOWN = Kind("the content is no known image format")
HEIC = Kind(
    "a HEIC photograph",
    "convert it to JPEG, for instance with `heif-convert photograph.heic photograph.jpg`",
)
RAW = Kind("a RAW camera file", _DEVELOP)
CR2 = Kind("a RAW camera file (CR2)", _DEVELOP)

_STARTS: tuple[tuple[int, bytes | tuple[bytes, ...], Kind], ...] = (
    # Offset, content or contents, kind; the first that matches is used.
    (8, _CR2, CR2),
    (0, b"FUJIFILMCCD-RAW", Kind("a RAW camera file (RAF)", _DEVELOP)),
    (0, (b"IIRO", b"IIRS", b"MMOR"), Kind("a RAW camera file (ORF)", _DEVELOP)),
    (0, b"IIU\0", Kind("a RAW camera file (RW2)", _DEVELOP)),
    (0, b"FOVb", Kind("a RAW camera file (X3F)", _DEVELOP)),
    (0, b"\0MRM", Kind("a RAW camera file (MRW)", _DEVELOP)),
    (0, b"8BPS", Kind("a Photoshop document (PSD)", _CONVERT)),
    (0, b"gimp xcf", Kind("a GIMP document (XCF)", _CONVERT)),
    (*file_kinds.PDF, Kind("a PDF document", _RENDER)),
    (0, (b"%!PS", b"\xc5\xd0\xd3\xc6"), Kind("a PostScript file (EPS)", _RENDER)),
    (0, b"AT&TFORM", Kind("a DjVu document", _RENDER)),
    (0, b"\xd7\xcd\xc6\x9a", Kind("a Windows metafile (WMF)", _RENDER)),
    (40, b" EMF", Kind("a Windows metafile (EMF)", _RENDER)),
    (0, b"\0\0\1\0", Kind("a Windows icon (ICO)", _CONVERT)),
    (0, b"\0\0\2\0", Kind("a Windows cursor (CUR)", _CONVERT)),
    (0, b"icns", Kind("a macOS icon (ICNS)", _CONVERT)),
    (0, b"\xff\x0a", Kind("a JPEG XL image", _CONVERT)),
    (4, b"JXL ", Kind("a JPEG XL image", _CONVERT)),
    (0, b"II\xbc\1", Kind("a JPEG XR image", _CONVERT)),
    (0, b"qoif", Kind("a QOI image", _CONVERT)),
    (0, b"BPG\xfb", Kind("a BPG image", _CONVERT)),
    (0, b"FLIF", Kind("a FLIF image", _CONVERT)),
    (0, b"\x76\x2f\x31\x01", Kind("an OpenEXR image", _CONVERT)),
    (0, b"#?RADIANCE", Kind("a Radiance HDR image", _CONVERT)),
    (0, b"DDS ", Kind("a DirectDraw surface (DDS)", _CONVERT)),
    (0, b"\x01\xda", Kind("an SGI image", _CONVERT)),
    (0, b"/* XPM */", Kind("an XPM image", _CONVERT)),
    (0, b"P7\n", Kind("a PAM image", _CONVERT)),
    (0, b"PF\n", Kind("a colour PFM image", _CONVERT)),
    (128, b"DICM", Kind("a DICOM file", _PIXELS)),
    (0, b"SIMPLE  =", Kind("a FITS file", _PIXELS)),
    (344, b"n+1\0", Kind("a NIfTI file", _PIXELS)),
    (*file_kinds.NUMPY, Kind("a NumPy array", _PIXELS)),
    (*file_kinds.HDF5, Kind("an HDF5 file", _PIXELS)),
    (0, b"MATLAB 5", Kind("a MATLAB file", _PIXELS)),
    (8, b"AVI ", Kind("a video (AVI)", _FRAMES)),
    (0, b"\x1a\x45\xdf\xa3", Kind("a video (Matroska or WebM)", _FRAMES)),
    (0, b"\x30\x26\xb2\x75", Kind("a video (WMV)", _FRAMES)),
    (0, (b"\0\0\1\xba", b"\0\0\1\xb3"), Kind("a video (MPEG)", _FRAMES)),
    (0, b"FLV\1", Kind("a video (FLV)", _FRAMES)),
    (0, b"OggS", Kind("a video or sound (Ogg)", _FRAMES)),
    (4, (b"moov", b"mdat", b"wide"), Kind("a video (QuickTime)", _FRAMES)),
    (0, (b"PK\3\4", b"PK\5\6"), Kind("a zip archive", _UNPACK)),
    (*file_kinds.GZIP, Kind("a gzip archive", _UNPACK)),
    (*file_kinds.SEVEN_ZIP, Kind("a 7z archive", _UNPACK)),
    (*file_kinds.RAR, Kind("a RAR archive", _UNPACK)),
    (*file_kinds.TAR, Kind("a tar archive", _UNPACK)),
    (
        *file_kinds.APPLE_DOUBLE,
        Kind("what macOS keeps beside a picture (a file '._...')", _LEAVE_OUT),
    ),
    (0, b"\0\0\0\1Bud1", Kind("the folder settings of macOS (.DS_Store)", _LEAVE_OUT)),
    (*file_kinds.GIT_LFS, Kind("a pointer of Git LFS", "fetch the picture with `git lfs pull`")),
    # Formats that can be read: these files are damaged or of a rare variant.
    (*file_kinds.JPEG, Kind("a JPEG image with a damaged header", _AGAIN)),
    (*file_kinds.PNG, Kind("a PNG image with a damaged header", _AGAIN)),
    (*file_kinds.GIF, Kind("a GIF image with a damaged header", _AGAIN)),
    (0, b"BM", Kind("a BMP image of a kind that is not read", _CONVERT)),
    (8, b"WEBP", Kind("a WebP image with a damaged header", _AGAIN)),
    (4, b"jP  ", Kind("a JPEG 2000 image of a kind that is not read", _CONVERT)),
    (0, b"\xff\x4f\xff\x51", Kind("a JPEG 2000 image of a kind that is not read", _CONVERT)),
)

_TEXTS = (
    # Beginning of the text, without leading blanks and in lower case.
    (b"<!doctype html", Kind("an HTML page", _DOWNLOAD)),
    (b"<html", Kind("an HTML page", _DOWNLOAD)),
    (b"<svg", Kind("an SVG drawing", _RENDER)),
    (b"<?xml", Kind("an XML document", _DOWNLOAD)),
    (b"{", Kind("JSON text", _REPLACE)),
    (b"", Kind("text", _REPLACE)),
)

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_BOX_KINDS = (
    # Major and compatible brands of ISO base media files; the first that matches is used.
    (_HEIC_BRANDS, HEIC),
    ({b"avif", b"avis"}, Kind("an AVIF image of a kind that is not read", _CONVERT)),
    ({b"mif1", b"msf1"}, Kind("a HEIF image", HEIC.remedy)),
    ({b"crx "}, Kind("a RAW camera file (CR3)", _DEVELOP)),
    ({b"qt  "}, Kind("a video (QuickTime)", _FRAMES)),
)

_BIG_TIFF = (b"II+\0", b"MM\0+")
_TIFF = (*(content for _, content in file_kinds.TIFF), *_BIG_TIFF)
_HEAD = 4096  # bytes


def kind_of_file(path: Path) -> Kind:
    """The kind of a file that cannot be opened as an image; UNKNOWN if it is not recognised."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if head.startswith(_TIFF) and not head.startswith(_CR2, 8):
                return _kind_of_tiff(file, head)
    except OSError:
        return UNKNOWN
    return kind_of(head)


def kind_of(head: bytes) -> Kind:
    """The kind of a file that starts with `head`."""
    if head[4:8] == b"ftyp":
        size = int.from_bytes(head[:4], "big")
        brands = {head[start : start + 4] for start in range(8, min(size, len(head)), 4)}
        fitting = (kind for names, kind in _BOX_KINDS if names & brands)
        return next(fitting, Kind("a video (MP4)", _FRAMES))
    for offset, content, kind in _STARTS:
        if head.startswith(content, offset):
            return kind
    if not head.strip(b"\0"):
        return Kind("nothing but zero bytes", _AGAIN)
    return _kind_of_text(head) or UNKNOWN


def _kind_of_text(head: bytes) -> Kind | None:
    try:
        # The last character may be incomplete.
        text = head.decode("utf-8-sig", "ignore" if len(head) == _HEAD else "strict")
    except UnicodeDecodeError:
        return None
    if any(not char.isprintable() and not char.isspace() for char in text):
        return None
    start = text.strip().lower().encode()
    if b"<svg" in start:
        return Kind("an SVG drawing", _RENDER)
    return next(kind for begin, kind in _TEXTS if start.startswith(begin))


_DAMAGED_TIFF = Kind("a TIFF image with a damaged header", _AGAIN)
_WIDTH, _NEW_SUBFILE, _BITS, _PHOTOMETRIC, _CHANNELS, _SUB_IFDS = 256, 254, 258, 262, 277, 330
_COMPRESSION, _OLD_JPEG = 259, 6
_SAMPLE_FORMAT, _DNG_VERSION, _CFA = 339, 50706, 32803
_NUMBERS = {1: "", 2: " with a sign", 3: " (floats)", 5: " (complex)", 6: " (complex)"}


def check_tiff(image: Any) -> None:
    """Raise NoPictureError for an opened TIFF file that Pillow would decode wrongly.

    Of RAW camera files it would decode a small preview, and signed 8-bit numbers it would misread.
    """
    tags = image.tag_v2
    if raw := (CR2 if _is_cr2(image) else _raw_kind(tags)):
        raise NoPictureError(raw)
    if max(tags.get(_BITS, (1,))) == 8 and 2 in tags.get(_SAMPLE_FORMAT, (1,)):
        raise NoPictureError(Kind("a TIFF image of 8 bits with a sign", _CONVERT))


def _is_cr2(image: Any) -> bool:
    if image.tag_v2.get(_COMPRESSION) != _OLD_JPEG:
        return False
    place = image.fp.tell()
    image.fp.seek(8)
    head = image.fp.read(len(_CR2))
    image.fp.seek(place)
    return bool(head == _CR2)


def _raw_kind(tags: Any) -> Kind | None:
    if _DNG_VERSION in tags:
        return Kind("a RAW camera file (DNG)", _DEVELOP)
    is_preview = _SUB_IFDS in tags and tags.get(_NEW_SUBFILE, 0) & 1
    if is_preview or tags.get(_PHOTOMETRIC) == _CFA:
        make = str(tags.get(271, "")).strip(" \0")
        return Kind(f"a RAW camera file ({make})" if make else RAW.name, _DEVELOP)
    return None


def _kind_of_tiff(file: Any, head: bytes) -> Kind:
    """The kind of a TIFF file by its first directory."""
    order = "big-endian" if head.startswith(b"MM") else "little-endian"
    if head.startswith(b"MM\0+"):
        return Kind("a big-endian BigTIFF image, which is not read", _SAVE_PLAINLY)
    try:
        tags = ImageFileDirectory_v2(head[:16] if head.startswith(_BIG_TIFF) else head[:8])
        file.seek(tags.next)
        tags.load(file)
        if _WIDTH not in tags:
            return _DAMAGED_TIFF
        bits = max(tags.get(_BITS, (1,)))
        numbers = _NUMBERS.get(max(tags.get(_SAMPLE_FORMAT, (1,))), "")
        channels = tags.get(_CHANNELS, 1)
        photometric = tags.get(_PHOTOMETRIC, 0)
        return _raw_kind(tags) or Kind(
            f"a TIFF image of a kind that is not read: {channels} x {bits} bits{numbers}, "
            f"photometric interpretation {photometric}, {order}",
            _SAVE_PLAINLY,
        )
    except Exception:  # Pillow does not document its exceptions for damaged directories
        return _DAMAGED_TIFF
