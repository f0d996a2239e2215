"""One policy for pixels: content decides, EXIF applied, damage is a typed error."""

import errno
import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from app.engine.data.images import headers
from app.engine.data.images.headers import image_header, image_size
from app.engine.data.images.reading import read_image
from app.engine.errors import ImageError, StorageError
from verification.fuzz.samples import bomb

Picture = npt.NDArray[np.uint8]


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _encoded(picture: Picture, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format, **options)
    return buffer.getvalue()


def test_bgr_is_rgb_reversed_and_owns_its_memory(tmp_path: Path, picture: Picture) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_encoded(picture, "PNG"))
    rgb, bgr = read_image(path, "RGB"), read_image(path, "BGR")
    assert np.array_equal(rgb, picture)
    assert np.array_equal(bgr, picture[:, :, ::-1])
    assert bgr.flags.c_contiguous
    assert bgr.flags.writeable
    assert rgb.flags.writeable


def test_grey_and_yuv(tmp_path: Path, picture: Picture) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_encoded(picture, "PNG"))
    assert read_image(path, "L").shape == (24, 32, 1)
    yuv = read_image(path, "YUV-BT.601")
    assert yuv[..., 0].min() >= 0
    assert yuv[..., 0].max() <= 1
    grey = np.full((4, 4, 3), 51, dtype=np.uint8)
    path.write_bytes(_encoded(grey, "PNG"))
    assert read_image(path, "YUV-BT.601")[0, 0] == pytest.approx([0.2, 0, 0], abs=1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_applies_to_pixels_and_size(
    tmp_path: Path, picture: Picture, format: str, orientation: int
) -> None:
    path = tmp_path / "no-extension"
    options = {"lossless": True} if format == "WEBP" else {"quality": 95}
    path.write_bytes(_encoded(picture, format, exif=_exif(orientation), **options))
    with Image.open(path) as image:
        image.load()
        turned = image if format == "TIFF" else _turned(image, orientation)
        expected = np.asarray(turned.convert("RGB"))
    assert np.array_equal(read_image(path, "RGB"), expected)
    assert image_size(path) == expected.shape[:2]
    assert expected.shape[:2] == ((32, 24) if orientation >= 5 else (24, 32))


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    upright = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: x.swapaxes(0, 1)[:, ::-1],
        7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
        8: lambda x: x.swapaxes(0, 1)[::-1],
    }[orientation]
    return Image.fromarray(np.ascontiguousarray(upright(np.asarray(image.convert("RGB")))))


def test_png_orientation_behind_the_pixels_counts(tmp_path: Path, picture: Picture) -> None:
    data = _encoded(picture, "PNG")
    exif = _exif(6).tobytes().removeprefix(b"Exif\x00\x00")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    end = data.index(b"IEND") - 4
    path = tmp_path / "late.png"
    path.write_bytes(data[:end] + chunk + data[end:])
    assert image_size(path) == (32, 24)
    assert read_image(path).shape == (32, 24, 3)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        pytest.param("1", [255, 255, 255], id="one bit"),
        pytest.param("L", [200, 200, 200], id="grey"),
        pytest.param("LA", [200, 200, 200], id="grey with alpha: alpha dropped"),
        pytest.param("P", [200, 200, 200], id="palette"),
        pytest.param("RGBA", [200, 200, 200], id="alpha dropped"),
        pytest.param("CMYK", [200, 200, 200], id="CMYK"),
        pytest.param("I;16", [200, 200, 200], id="16 bit: high byte"),
        pytest.param("I", [200, 200, 200], id="32 bit integers count as 16"),
        pytest.param("F", [200, 200, 200], id="float 0..255"),
    ],
)
def test_modes_become_rgb(tmp_path: Path, mode: str, expected: list[int]) -> None:
    path = tmp_path / "a.tif"
    if mode in ("I;16", "I"):
        depth = np.uint16 if mode == "I;16" else np.int32
        image = Image.fromarray(np.full((3, 5), 200 * 256 + 7, dtype=depth))
    elif mode == "F":
        image = Image.fromarray(np.full((3, 5), 200.3, dtype=np.float32))
    else:
        image = Image.new("L", (5, 3), 255 if mode == "1" else 200).convert(mode)
    image.save(path, "PNG" if mode in ("P", "1", "LA") else "TIFF")
    assert read_image(path, "RGB").shape == (3, 5, 3)
    assert read_image(path, "RGB")[1, 1].tolist() == expected
    assert read_image(path, "L")[1, 1].tolist() == expected[:1]
    assert image_size(path) == (3, 5)


def test_float_up_to_one_is_a_share_and_nan_is_black(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    assert read_image(path, "L")[0, :, 0].tolist() == [0, 128, 255, 0]


def test_palette_with_transparency_shows_hidden_colours(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    path = tmp_path / "a.png"
    image.save(path, transparency=b"\xff\x00")
    assert read_image(path, "RGB")[0, 0].tolist() == [10, 20, 30]


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read_image(path, "RGB")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    ("missing", "accepted"),
    [
        pytest.param(1, True, id="half the end marker"),
        pytest.param(2, True, id="the end marker"),
        pytest.param(40, False, id="some picture data"),
        pytest.param(-2, False, id="half the file"),
    ],
)
def test_cut_jpeg(tmp_path: Path, progressive: bool, missing: int, accepted: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    whole = _encoded(noise, "JPEG", progressive=progressive)
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    expected = read_image(path)
    path.write_bytes(whole[: len(whole) // 2] if missing < 0 else whole[:-missing])
    if accepted:
        assert np.array_equal(read_image(path), expected)
    else:
        with pytest.raises(ImageError, match=r"a\.jpg: .*truncated"):
            read_image(path)


def _ppm(picture: Picture) -> bytes:
    return b"P6 %d %d 255\n" % picture.shape[1::-1] + picture.tobytes()


WHOLE: dict[str, Callable[[Picture], bytes]] = {
    "JPEG": lambda p: _encoded(p, "JPEG"),
    "progressive JPEG": lambda p: _encoded(p, "JPEG", progressive=True),
    "PNG": lambda p: _encoded(p, "PNG"),
    "GIF": lambda p: _encoded(p, "GIF"),
    "BMP": lambda p: _encoded(p, "BMP"),
    "WEBP": lambda p: _encoded(p, "WEBP"),
    "lossless WEBP": lambda p: _encoded(p, "WEBP", lossless=True),
    "TIFF": lambda p: _encoded(p, "TIFF"),
    "LZW TIFF": lambda p: _encoded(p, "TIFF", compression="tiff_lzw"),
    "PPM": _ppm,
    "JPEG 2000": lambda p: _encoded(p, "JPEG2000"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_ends_too_early_is_found_by_its_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    data = WHOLE[name](noise)
    path = tmp_path / "a"
    path.write_bytes(data[: len(data) // 2] if name != "TIFF" else data[:-500])
    # Of the others, what is needed for the header is cut off.
    if name not in ("WEBP", "lossless WEBP", "LZW TIFF"):
        assert image_header(path).size == (64, 80)
    with pytest.raises(ImageError, match="cannot be read"):
        image_header(path, whole=True)
    # A whole one is not decoded.
    path.write_bytes(data)
    monkeypatch.setattr(headers, "decode", None)
    assert image_header(path, whole=True).size == (64, 80)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "lossless WEBP"])
def test_what_lies_behind_a_picture_does_no_harm(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    data, path = WHOLE[name](noise), tmp_path / "a"
    path.write_bytes(data)
    expected = read_image(path)
    for behind in (b"behind", bytes(500)):
        path.write_bytes(data + behind)
        assert image_header(path, whole=True).size == (64, 80)
        assert np.array_equal(read_image(path), expected)


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "PNG", "WEBP", "lossless WEBP"])
def test_zeros_in_place_of_the_rest_are_no_picture(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    data, path = WHOLE[name](noise), tmp_path / "a"
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    for read in (read_image, lambda path: image_header(path, whole=True)):
        with pytest.raises(ImageError, match="cannot be read"):
            read(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "empty", id="no bytes"),
        pytest.param(b"<html>not found</html>", "an HTML page", id="HTML"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "cannot be read", id="PNG magic only"),
        pytest.param(b"\xff\xd8\xff\xe0\x00\x10JFIF", "cannot be read", id="JPEG magic only"),
    ],
)
def test_no_picture_is_a_typed_error(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=reason):
            read(path)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero"), tmp_path / "missing.jpg"):
        for read in (read_image, image_size):
            with pytest.raises(ImageError):
                read(path)


STORAGE_ERRORS = [
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ENODEV,
    errno.ENXIO,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ECONNRESET,
    errno.EREMOTEIO,
    errno.EAGAIN,
    errno.EMFILE,
]


@pytest.mark.parametrize("number", STORAGE_ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["stat", "open"])
def test_what_the_storage_refuses_is_told_apart(
    number: int, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (4, 3)).save(path)
    module, real = (os, os.stat) if call == "stat" else (io, io.open)

    def refuse(file: object, *arguments: object, **options: object) -> object:
        if file == path:
            raise OSError(number, os.strerror(number), str(file))
        return real(file, *arguments, **options)

    monkeypatch.setattr(module, call, refuse)
    for read in (read_image, image_size):
        with pytest.raises(StorageError) as caught:
            read(path)
        assert os.strerror(number) in str(caught.value)
        assert str(path) in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))  # it comes from a reader's process
        assert (type(again), str(again)) == (StorageError, str(caught.value))


def test_what_the_content_refuses_is_no_storage_error(tmp_path: Path) -> None:
    """A damaged length makes the decoder look before the start of the file."""
    data = bytearray(_encoded(np.zeros((30, 40, 3), dtype=np.uint8), "JPEG2000"))
    data[15] = 1
    path = tmp_path / "x.jp2"
    path.write_bytes(data)
    for read in (read_image, image_size):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert not isinstance(caught.value, StorageError)


_READ_WITH_LITTLE_MEMORY = """
import sys
from pathlib import Path
from app.engine.data.images.reading import read_image
from app.engine.errors import DoesNotFitError, ImageError
from verification.reliability.memory import little_memory

for path in map(Path, sys.argv[1:]):
    read_image(path.with_name("small"))
    with little_memory(4):
        try:
            read_image(path)
        except DoesNotFitError as error:
            print(error)
    path.write_bytes(path.read_bytes()[:60])
    try:
        read_image(path)
    except ImageError as error:
        assert not isinstance(error, DoesNotFitError), error
"""


def test_an_image_that_memory_is_too_small_for_is_not_called_damaged(tmp_path: Path) -> None:
    """In a new process, whose heap holds no free memory of earlier tests."""
    formats = ["BMP", "PNG", "JPEG", "TIFF", "JPEG2000"]
    paths = [tmp_path / f"large.{format}" for format in formats]
    for path, format in zip(paths, formats, strict=True):
        Image.new("RGB", (3000, 2000)).save(path, format)
    Image.new("RGB", (8, 8)).save(tmp_path / "small", "PNG")
    command = [sys.executable, "-c", _READ_WITH_LITTLE_MEMORY, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [path.name in line for path, line in zip(paths, lines, strict=True)] == [True] * 5
    assert all("num_workers" in line for line in lines)


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side))
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match="exceed"):
            read(path)


def test_random_bytes_inside_never_escape_the_typed_error(tmp_path: Path, picture: Picture) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "a"
    num_read = num_refused = 0
    for format in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        data = np.frombuffer(_encoded(picture, format), dtype=np.uint8)
        for _ in range(15):
            damaged = data.copy()
            damaged[rng.integers(0, len(data), 6)] = rng.integers(0, 256, 6)
            path.write_bytes(damaged.tobytes())
            try:
                pixels = read_image(path)
            except ImageError:
                num_refused += 1
            else:
                assert pixels.shape == (*image_size(path), 3)
                num_read += 1
    assert num_read > 10
    assert num_refused > 10


def test_names_of_files_cannot_forge_log_lines(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\n\xff.jpg"))
    path.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"/a\?\?\.jpg: the image cannot be read"):
        read_image(path)
