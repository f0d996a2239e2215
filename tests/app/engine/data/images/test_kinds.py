"""For a file that cannot be read as a picture, the error names its kind and a remedy."""

import io
import struct
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from app.engine.data.images.headers import image_size
from app.engine.data.images.kinds import kind_of
from app.engine.data.images.reading import read_image
from app.engine.errors import ImageError

HEIC = "convert it to JPEG, for instance with `heif-convert"
RAW = "develop it to JPEG, PNG or TIFF"
FRAMES = "write its frames"
RENDER = "render it as PNG"
CONVERT = "convert it to JPEG or PNG"
UNPACK = "unpack it"


def boxes(major: bytes, *compatible: bytes) -> bytes:
    brands = major + b"\0\0\0\0" + b"".join(compatible)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0\0\0\x20meta" + bytes(40)


def tiff(entries: dict[int, tuple[int, int]], *, order: str = "<", start: bytes = b"") -> bytes:
    """A directory of one number for each tag; the picture, 2 x 2 of 8 bits, follows."""
    offset = 8 + len(start)
    size = 2 + 12 * (len(entries) + 1) + 4
    packed = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1) + struct.pack(f"{order}I", value)
        if kind == 4
        else struct.pack(f"{order}HHIHH", tag, kind, 1, value, 0)
        for tag, (kind, value) in sorted({**entries, 273: (4, offset + size)}.items())
    )
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, offset) + start
    return head + struct.pack(f"{order}H", len(entries) + 1) + packed + bytes(4) + bytes(16)


PREVIEW = {
    256: (4, 2),
    257: (4, 2),
    258: (3, 8),
    259: (3, 1),
    262: (3, 1),
    277: (3, 1),
    278: (4, 2),
    279: (4, 4),
}
"""Tags that Pillow shows as a picture of 2 x 2."""

CR2 = {**PREVIEW, 259: (3, 6), 262: (3, 6), 277: (3, 3)}


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", b"picture")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "remedy"),
    [
        pytest.param(boxes(b"heic", b"mif1"), "a HEIC photograph", HEIC, id="HEIC"),
        pytest.param(boxes(b"mif1", b"mif1", b"heic"), "a HEIC photograph", HEIC, id="HEIC, mif1"),
        pytest.param(boxes(b"msf1", b"hevc"), "a HEIC photograph", HEIC, id="HEIC sequence"),
        pytest.param(boxes(b"mif1"), "a HEIF image", HEIC, id="HEIF"),
        pytest.param(boxes(b"crx "), "a RAW camera file (CR3)", RAW, id="CR3"),
        pytest.param(
            boxes(b"avif"), "an AVIF image of a kind", CONVERT, id="AVIF without a picture"
        ),
        pytest.param(boxes(b"isom", b"mp41"), "a video (MP4)", FRAMES, id="MP4"),
        pytest.param(boxes(b"qt  "), "a video (QuickTime)", FRAMES, id="MOV"),
        pytest.param(b"\0\0\0\x08wide\0\0\0\0mdat", "a video (QuickTime)", FRAMES, id="old MOV"),
        pytest.param(b"RIFF\0\0\0\0AVI LIST", "a video (AVI)", FRAMES, id="AVI"),
        pytest.param(b"\x1a\x45\xdf\xa3\x01", "a video (Matroska or WebM)", FRAMES, id="WebM"),
        pytest.param(tiff(CR2, start=b"CR\x02\0"), "a RAW camera file (CR2)", RAW, id="CR2"),
        pytest.param(tiff({**PREVIEW, 50706: (4, 1)}), "a RAW camera file (DNG)", RAW, id="DNG"),
        pytest.param(
            tiff({**PREVIEW, 254: (4, 1), 330: (4, 8)}), "a RAW camera file", RAW, id="NEF, ARW"
        ),
        pytest.param(tiff({**PREVIEW, 262: (3, 32803)}), "a RAW camera file", RAW, id="mosaic"),
        pytest.param(b"IIU\0\x18\0\0\0", "a RAW camera file (RW2)", RAW, id="RW2"),
        pytest.param(b"IIRO\x08\0\0\0", "a RAW camera file (ORF)", RAW, id="ORF"),
        pytest.param(b"FUJIFILMCCD-RAW 0201", "a RAW camera file (RAF)", RAW, id="RAF"),
        pytest.param(b"8BPS\0\1" + bytes(20), "a Photoshop document (PSD)", CONVERT, id="PSD"),
        pytest.param(b"%PDF-1.7\n", "a PDF document", RENDER, id="PDF"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript file (EPS)", RENDER, id="EPS"),
        pytest.param(b"\xc5\xd0\xd3\xc6" + bytes(28), "a PostScript file", RENDER, id="binary EPS"),
        pytest.param(
            b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
            "an SVG drawing",
            RENDER,
            id="SVG",
        ),
        pytest.param(b"\0\0\1\0\1\0\x10\x10", "a Windows icon (ICO)", CONVERT, id="ICO"),
        pytest.param(b"\xff\x0a\xfa\x7f", "a JPEG XL image", CONVERT, id="JPEG XL"),
        pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image", CONVERT, id="boxed JPEG XL"),
        pytest.param(b"\x76\x2f\x31\x01\x02", "an OpenEXR image", CONVERT, id="EXR"),
        pytest.param(bytes(128) + b"DICM", "a DICOM file", "write its values", id="DICOM"),
        pytest.param(b"\x93NUMPY\x01\0", "a NumPy array", "write its values", id="npy"),
        pytest.param(zipped(), "a zip archive", UNPACK, id="zip"),
        pytest.param(b"\x1f\x8b\x08\0", "a gzip archive", UNPACK, id="gzip"),
        pytest.param(bytes(257) + b"ustar", "a tar archive", UNPACK, id="tar"),
        pytest.param(
            b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS keeps beside a picture", "leave it out", id="._"
        ),
        pytest.param(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "a pointer of Git LFS",
            "git lfs pull",
            id="Git LFS",
        ),
        pytest.param(b"\n<!DOCTYPE HTML><html>404", "an HTML page", "download", id="HTML"),
        pytest.param(b"\xef\xbb\xbf<html>not found", "an HTML page", "download", id="HTML, BOM"),
        pytest.param(b"<?xml version='1.0'?><Error/>", "an XML document", "download", id="XML"),
        pytest.param(b'{"images": []}', "JSON text", "replace", id="JSON"),
        pytest.param("kein Bild, nur \u00fcber Bilder".encode(), "text", "replace", id="text"),
        pytest.param("\u00fc".encode() * 2047 + b"x\xc3", "text", "replace", id="text, cut letter"),
        pytest.param(bytes(5000), "nothing but zero bytes", "copy or download", id="zeros"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "a PNG image with a damaged", "copy", id="PNG magic"),
        pytest.param(b"\x01\x02\x9f\x00", "no known image format", "replace", id="anything"),
        pytest.param(
            tiff({**PREVIEW, 258: (3, 64), 339: (3, 3)}),
            "1 x 64 bits (floats), photometric interpretation 1, little-endian",
            "save it as PNG",
            id="TIFF of 64 bits",
        ),
        pytest.param(
            tiff({**PREVIEW, 258: (3, 16), 262: (3, 0)}, order=">"),
            "1 x 16 bits, photometric interpretation 0, big-endian",
            "save it as PNG",
            id="TIFF, white is zero",
        ),
        pytest.param(
            tiff({**PREVIEW, 258: (3, 8), 339: (3, 2)}),
            "a TIFF image of 8 bits with a sign",
            CONVERT,
            id="TIFF of 8 bits with a sign",
        ),
        pytest.param(b"MM\0+\0\x08\0\0" + bytes(20), "big-endian BigTIFF", "save", id="BigTIFF"),
        pytest.param(b"II*\0\xff\xff\0\0", "a TIFF image with a damaged", "copy", id="cut TIFF"),
    ],
)
def test_the_message_names_the_file_and_the_remedy(
    data: bytes, name: str, remedy: str, tmp_path: Path
) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    for read in (read_image, image_size):
        with pytest.raises(ImageError) as caught:
            read(path)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(f"{path}: the image cannot be read (")
        assert name in message
        assert f"; {remedy}" in message or remedy in message.rpartition("; ")[2]


def test_the_preview_of_no_raw_file_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(PREVIEW))
    assert read_image(path).shape == (2, 2, 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "AVIF"])
def test_what_is_read_is_not_named_something_else(format: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format)
    assert not kind_of(buffer.getvalue()).name.startswith(("a video", "a RAW", "text"))
