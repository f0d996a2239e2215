"""Images with more than 8 bits: the decided depth gives the 8 bits, whatever the file."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from app.engine.config import get_config
from app.engine.data.images.depth import Depth
from app.engine.data.images.headers import image_size, is_deep
from app.engine.data.images.reading import read_deep_image, read_image, read_picture, stored_values
from app.engine.data.loading.mapper import TestMapper
from app.engine.errors import ImageError
from app.engine.structures.deep import Deep

Values = npt.NDArray[Any]

GREY = 0
COLOUR, GREY_ALPHA, COLOUR_ALPHA = 2, 4, 6  # kinds of PNG


def values(channels: int, dtype: Any = np.uint16, top: int = 4096, low: int = 0) -> Values:
    shape = (5, 7, channels) if channels > 1 else (5, 7)
    return np.random.default_rng(channels).integers(low, top, shape).astype(dtype)


def png(stored: Values, kind: int = GREY) -> bytes:
    """16 bits; Pillow writes only grey ones."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in stored)
    head = struct.pack(">IIBBBBB", stored.shape[1], stored.shape[0], 16, kind, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def tiff(
    stored: Values,
    *,
    order: str = "<",
    compressed: bool = False,
    planes: bool = False,
    photometric: int | None = None,
    extra: tuple[int, ...] = (),
    orientation: int = 1,
) -> bytes:
    """Numbers of any type and order, with one strip or one for each plane."""
    height, width, channels = stored.shape if stored.ndim == 3 else (*stored.shape, 1)
    pixels = stored.reshape(height, width, channels)
    parts = [pixels[..., i] for i in range(channels)] if planes else [pixels]
    strips = [part.astype(stored.dtype.newbyteorder(order)).tobytes() for part in parts]
    strips = [zlib.compress(strip) for strip in strips] if compressed else strips
    starts = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    kind = {"u": 1, "i": 2, "f": 3}[stored.dtype.kind]
    if photometric is None:
        photometric = 1 if channels == 1 else 2
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [8 * stored.dtype.itemsize] * channels),
        259: ("H", [8 if compressed else 1]),
        262: ("H", [photometric]),
        273: ("I", starts),
        274: ("H", [orientation]),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [len(strip) for strip in strips]),
        284: ("H", [2 if planes else 1]),
        **({338: ("H", list(extra))} if extra else {}),
        339: ("H", [kind] * channels),
    }
    data = b"".join(strips)
    directory = 8 + len(data)
    tail = directory + 2 + 12 * len(tags) + 4
    entries = rest = b""
    for number, (type_, content) in tags.items():
        packed = struct.pack(f"{order}{len(content)}{type_}", *content)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", tail + len(rest))
            rest += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", number, 3 if type_ == "H" else 4, len(content))
        entries += place
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, directory)
    return start + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + rest


def ppm(stored: Values, maxval: int = 65535) -> bytes:
    kind = "P5" if stored.ndim == 2 else "P6"
    head = f"{kind} {stored.shape[1]} {stored.shape[0]} {maxval}\n".encode()
    return head + stored.astype(">u2").tobytes()


def jpeg2000(stored: Values) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG2000", irreversible=False)
    return buffer.getvalue()


def rgb_of(eight: Values, channels: int) -> Values:
    if channels <= 2:
        grey = eight[..., 0] if eight.ndim == 3 else eight
        return np.stack([grey] * 3, axis=2)
    return eight[..., :3]


@pytest.fixture
def save(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "no extension"
        path.write_bytes(data)
        return path

    return write


FILES: dict[str, tuple[bytes, Values]] = {
    "PNG grey": (png(values(1)), values(1)),
    "PNG colour": (png(values(3), COLOUR), values(3)),
    "PNG grey, transparency": (png(values(2), GREY_ALPHA), values(2)),
    "PNG colour, transparency": (png(values(4), COLOUR_ALPHA), values(4)),
    "PGM": (ppm(values(1)), values(1)),
    "PPM": (ppm(values(3)), values(3)),
    "JPEG 2000 grey": (jpeg2000(values(1)), values(1)),
    "TIFF grey 16 signed": (tiff(values(1, np.int16)), values(1)),
    "TIFF grey 32": (tiff(values(1, np.uint32)), values(1)),
    "TIFF grey 32 signed": (tiff(values(1, np.int32)), values(1)),
    "TIFF colour, spare channel": (tiff(values(4), extra=(0,)), values(4)),
    "TIFF colour, transparency": (tiff(values(4), extra=(2,)), values(4)),
    **{
        f"TIFF {name}, {order} {'compressed' if compressed else 'plain'}": (
            tiff(stored, order=order, compressed=compressed, planes=planes),
            stored,
        )
        for name, stored, planes in (
            ("grey", values(1), False),
            ("grey in a plane", values(1), True),
            ("signed", values(1, np.int16), False),
            ("signed in a plane", values(1, np.int16), True),
            ("signed 32", values(1, np.int32), False),
            ("colour", values(3), False),
            ("colour in planes", values(3), True),
        )
        for order in "<>"
        for compressed in (False, True)
        if not (compressed and name == "colour in planes")
    },
}


@pytest.mark.parametrize("name", FILES)
def test_the_decided_bits_become_eight(name: str, save: Callable[[bytes], Path]) -> None:
    data, stored = FILES[name]
    path, channels = save(data), 1 if stored.ndim == 2 else stored.shape[2]
    pixels, deep = read_deep_image(path, "RGB", Depth(bits=12))
    assert np.array_equal(pixels, rgb_of((stored >> 4).astype(np.uint8), channels))
    colours = stored if channels == 1 else stored[..., : 1 if channels == 2 else 3]
    assert deep == Deep(int(colours.max()), 4095, 0, colours.size, True)
    assert is_deep(path)
    found = stored_values(path)
    assert found is not None
    assert np.array_equal(found.reshape(colours.shape), colours)


@pytest.mark.parametrize("name", FILES)
def test_without_a_decision_the_high_byte_is_taken(
    name: str, save: Callable[[bytes], Path]
) -> None:
    data, stored = FILES[name]
    path, channels = save(data), 1 if stored.ndim == 2 else stored.shape[2]
    met = []
    for depth in (Depth(), Depth(bits=16)):
        pixels, deep = read_deep_image(path, "RGB", depth)
        assert np.array_equal(pixels, rgb_of((stored >> 8).astype(np.uint8), channels))
        met.append(deep)
    undecided, decided = met
    assert undecided.looks_shallow
    assert not undecided.is_decided
    assert (undecided.white, undecided.num_outside) == (65535, 0)
    assert decided.is_decided


@pytest.mark.parametrize(
    ("bits", "top", "factor"),
    [
        pytest.param(8, 256, 1.0, id="0..255 in 16 bits"),
        pytest.param(10, 1024, 4.0, id="10 bits"),
        pytest.param(14, 16384, 64.0, id="14 bits"),
        pytest.param(16, 65536, 256.0, id="16 bits"),
        pytest.param(24, 2**24, 2.0**16, id="24 bits"),
        pytest.param(32, 2**32, 2.0**24, id="32 bits"),
    ],
)
def test_every_depth(bits: int, top: int, factor: float, save: Callable[[bytes], Path]) -> None:
    stored = values(1, np.uint32, top)
    pixels = read_image(save(tiff(stored)), "L", Depth(bits=bits))
    assert np.array_equal(pixels[..., 0], np.floor(stored / factor).astype(np.uint8))


@pytest.mark.parametrize(
    ("data", "num_outside"),
    [
        pytest.param(png(np.array([[0, 4095, 4096, 65535]])), 2, id="grey"),
        pytest.param(png(np.array([[[0, 4095, 5000], [9, 9, 9]]]), COLOUR), 1, id="colour"),
        pytest.param(tiff(np.array([[-5, 0, 4095, 4096]], np.int16)), 2, id="below black"),
        pytest.param(tiff(np.array([[0, 2**31, 2**32 - 1]], np.uint32)), 2, id="32 bits"),
        pytest.param(tiff(np.array([[-5, -6, -7]], np.int32)), 3, id="all below black"),
    ],
)
def test_values_beyond_are_clipped_and_counted(
    data: bytes, num_outside: int, save: Callable[[bytes], Path]
) -> None:
    pixels, deep = read_deep_image(save(data), "RGB", Depth(bits=12))
    stored = stored_values(save(data))
    assert stored is not None
    expected = np.clip(stored.astype(np.int64), 0, 4095) >> 4
    assert np.array_equal(pixels, rgb_of(expected, 1 if stored.ndim == 2 else 3))
    assert deep.num_outside == num_outside
    assert f"{num_outside} of {stored.size} values lie outside 0..4095" in deep.outside


@pytest.mark.parametrize(
    ("white", "stored", "expected", "num_outside"),
    [
        pytest.param(0.0, [0.0, 0.5, 1.0], [0, 128, 255], 0, id="shares"),
        pytest.param(0.0, [0.0, 2.0, 300.0], [0, 2, 255], 1, id="0..255"),
        pytest.param(1.0, [0.0, 0.5, 1.25], [0, 128, 255], 1, id="shares, one beyond"),
        pytest.param(1.0, [-0.5, 0.5, np.nan], [0, 128, 0], 1, id="below and no number"),
        pytest.param(4095.0, [0.0, 2048.0, np.inf], [0, 128, 255], 1, id="12 bits as floats"),
        pytest.param(255.0, [0.1, 0.4, 0.6], [0, 0, 1], 0, id="dark image of 0..255"),
    ],
)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compressed", [False, True])
def test_floats(
    white: float,
    stored: list[float],
    expected: list[int],
    num_outside: int,
    order: str,
    compressed: bool,
    save: Callable[[bytes], Path],
) -> None:
    data = tiff(np.array([stored], np.float32), order=order, compressed=compressed)
    pixels, deep = read_deep_image(save(data), "L", Depth(float_white=white))
    assert pixels[0, :, 0].tolist() == expected
    assert deep.num_outside == num_outside
    assert deep.is_decided == bool(white)


def test_eight_bits_are_no_business_of_a_depth(save: Callable[[bytes], Path]) -> None:
    stored = values(3, np.uint8, 256)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG")
    path = save(buffer.getvalue())
    pixels, deep = read_deep_image(path, "RGB", Depth(12, 1.0))
    assert np.array_equal(pixels, stored)
    assert deep is None
    assert not is_deep(path)
    assert stored_values(path) is None


@pytest.mark.parametrize("maxval", [1023, 4095])
def test_pnm_states_its_white_itself(maxval: int, save: Callable[[bytes], Path]) -> None:
    grey, colour = values(1, top=maxval + 1), values(3, top=maxval + 1)
    found = read_image(save(ppm(grey, maxval)), "L", Depth(bits=16))[..., 0]
    assert np.abs(found - grey * (255 / maxval)).max() <= 1
    found = read_image(save(ppm(colour, maxval)), "RGB", Depth(bits=12))
    assert np.abs(found - colour * (255 / maxval)).max() <= 1


def _colour_jpeg2000(bits: int) -> bytes:
    """Pillow writes 8 bits: the header is made to say another number."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 3, 5)).save(buffer, "JPEG2000", no_jp2=True)
    data = bytearray(buffer.getvalue())
    for channel in range(3):
        data[42 + 3 * channel] = bits - 1
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_colour_jpeg2000(16), id="JPEG 2000"),
        pytest.param(b"P3 2 1 65535 4095 0 0 1 2 3", id="PPM as text"),
        pytest.param(tiff(values(4), extra=(1,)), id="TIFF with colours times transparency"),
        pytest.param(tiff(values(3), planes=True, compressed=True), id="TIFF, compressed planes"),
    ],
)
def test_what_has_no_low_bytes_is_refused_where_they_are_needed(
    data: bytes, save: Callable[[bytes], Path]
) -> None:
    path = save(data)
    assert is_deep(path)
    assert read_image(path, "RGB").shape == (*image_size(path), 3)
    with pytest.raises(ImageError, match=r"only the high byte .* 12 bits .*save it as PNG"):
        read_image(path, "RGB", Depth(bits=12))
    with pytest.raises(ImageError, match="only the high byte"):
        stored_values(path)


def test_colour_jpeg2000_of_twelve_bits_is_scaled_by_its_header(
    save: Callable[[bytes], Path],
) -> None:
    assert not is_deep(save(_colour_jpeg2000(12)))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_colours_of_sixteen_bits_are_turned(
    orientation: int, save: Callable[[bytes], Path]
) -> None:
    stored = values(3)
    turned = np.rot90(stored, {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    path = save(tiff(stored, orientation=orientation))
    assert np.array_equal(read_image(path, "RGB", Depth(bits=12)), turned >> 4)
    assert image_size(path) == turned.shape[:2]


def test_cmyk_of_sixteen_bits(save: Callable[[bytes], Path]) -> None:
    stored = values(4)
    path = save(tiff(stored, photometric=5))
    expected = Image.merge("CMYK", [Image.fromarray(c) for c in (stored >> 4).astype("u1").T])
    found, _ = read_picture(path, "RGB", Depth(bits=12))
    assert np.array_equal(np.asarray(found), np.asarray(expected.transpose(5).convert("RGB")))


def test_mappers_take_the_depth_from_the_config(save: Callable[[bytes], Path]) -> None:
    cfg = get_config()
    cfg.INPUT.BITS_PER_SAMPLE, cfg.INPUT.MIN_SIZE_TEST = 12, 5
    sample = TestMapper.from_config(cfg).from_file(save(png(np.full((5, 7), 2048))))
    assert sample.image.unique().tolist() == [128]
    assert sample.deep == Deep(2048, 4095, 0, 35, True)
