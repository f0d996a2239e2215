"""Every way to make the network's input of a picture gives the same pixels, which are Pillow's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from app.engine.config import get_config
from app.engine.data.images.depth import Depth
from app.engine.data.images.headers import image_size
from app.engine.data.images.reading import pixels_of, read_image
from app.engine.data.loading.image_reader import ImageReader, in_channel_order
from app.engine.data.loading.mapper import TestMapper
from app.engine.structures.record import ImageRecord
from app.engine.structures.size import Resizing
from app.engine.trained.pictures import picture_of

Pixels = npt.NDArray[Any]

EDGE, LONGEST, BITS = 40, 90, 12


def noise(height: int, width: int, channels: int = 3) -> Image.Image:
    """Bytes at random, because smooth pictures hide differences of one level."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def turned(path: Path, number: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = number
    noise(32, 60).save(path, exif=exif)


def grey_of_16_bits(path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**BITS, (32, 60), dtype=np.uint16)
    Image.fromarray(values).save(path)


def palette(path: Path) -> None:
    noise(32, 60).quantize(16).save(path, transparency=3)


PICTURES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "colours": ("png", lambda path: noise(32, 60).save(path)),
    "upright": ("jpg", lambda path: noise(60, 32).save(path)),
    **{f"turned {n}": ("jpg", lambda path, n=n: turned(path, n)) for n in range(2, 9)},
    "16 bits": ("png", grey_of_16_bits),
    "16 bits, TIFF": ("tiff", grey_of_16_bits),
    "grey": ("jpg", lambda path: noise(32, 60, 1).save(path)),
    "black and white": ("png", lambda path: noise(32, 60, 1).convert("1").save(path)),
    "palette": ("png", palette),
    "GIF": ("gif", palette),
    "transparent": ("png", lambda path: noise(32, 60, 4).save(path)),
    "CMYK": ("jpg", lambda path: noise(32, 60).convert("CMYK").save(path)),
    "20:1": ("png", lambda path: noise(20, 400).save(path)),
    "1:20": ("png", lambda path: noise(400, 20).save(path)),
    "as narrow as can be": ("png", lambda path: noise(1, 300).save(path)),
    "tiny": ("png", lambda path: noise(2, 3).save(path)),
    "one pixel": ("png", lambda path: noise(1, 1).save(path)),
    "of the network's size": ("png", lambda path: noise(EDGE, EDGE).save(path)),
}


def config(image_format: str) -> Any:
    cfg = get_config()
    cfg.INPUT.FORMAT, cfg.INPUT.BITS_PER_SAMPLE = image_format, BITS
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = EDGE, LONGEST
    return cfg


def by_onnx_reader(path: Path, image_format: str) -> Pixels:
    return ImageReader(image_format, Resizing(EDGE, LONGEST), Depth(BITS))(path).pixels


def by_torch_reader(path: Path, image_format: str) -> Pixels:
    """Infer, mining and detect."""
    return channels_last(TestMapper.from_config(config(image_format)).from_file(path))


def by_validation(path: Path, image_format: str) -> Pixels:
    record = ImageRecord(path, *image_size(path), np.zeros((0, 4)), np.zeros(0, np.int64), 1)
    return channels_last(TestMapper.from_config(config(image_format))(record))


def by_losses_of_validation(path: Path, image_format: str) -> Pixels:
    record = ImageRecord(path, *image_size(path), np.zeros((0, 4)), np.zeros(0, np.int64), 1)
    mapper = TestMapper.from_config(config(image_format), with_ground_truth=True)
    return channels_last(mapper(record))


def in_memory(path: Path, image_format: str) -> Pixels:
    """As a Python program's picture."""
    picture, _ = picture_of(path, depth=Depth(BITS))
    return in_channel_order(pixels_of(picture, "BGR"), image_format)


def in_memory_by_torch(path: Path, image_format: str) -> Pixels:
    pixels = in_memory(path, image_format)
    return channels_last(TestMapper.from_config(config(image_format)).from_pixels(pixels))


def in_memory_by_onnx(path: Path, image_format: str) -> Pixels:
    pixels = in_memory(path, image_format)
    return ImageReader(image_format, Resizing(EDGE, LONGEST)).from_pixels(pixels).pixels


def channels_last(sample: Any) -> Pixels:
    pixels: Pixels = sample.image.permute(1, 2, 0).numpy()
    return pixels


def expected(path: Path, image_format: str) -> Pixels:
    """What detectron2 does, in a few lines of Pillow: read, make upright, resize."""
    pixels = read_image(path, "L" if image_format == "L" else "RGB", Depth(BITS))
    height, width = pixels.shape[:2]
    scale = min(EDGE / min(height, width), LONGEST / max(height, width))
    size_wh = max(int(width * scale + 0.5), 1), max(int(height * scale + 0.5), 1)
    picture = Image.fromarray(pixels[..., 0] if image_format == "L" else pixels)
    resized = np.asarray(picture.resize(size_wh, Image.Resampling.BILINEAR))
    return resized[..., None] if image_format == "L" else resized[..., _order(image_format)]


def _order(image_format: str) -> slice:
    return slice(None, None, -1) if image_format == "BGR" else slice(None)


@pytest.mark.parametrize("image_format", ["BGR", "RGB", "L"])
@pytest.mark.parametrize("kind", PICTURES)
def test_all_readers_give_pillows_pixels(tmp_path: Path, kind: str, image_format: str) -> None:
    suffix, write = PICTURES[kind]
    path = tmp_path / f"picture.{suffix}"
    write(path)
    right = expected(path, image_format)
    for read in (
        *(by_onnx_reader, by_torch_reader, by_validation, by_losses_of_validation),
        *(in_memory_by_torch, in_memory_by_onnx),
    ):
        np.testing.assert_array_equal(read(path, image_format), right, err_msg=read.__name__)


@pytest.mark.parametrize(
    ("sizes", "expected_size"),
    [
        pytest.param((0, 80, []), (32, 60), id="not resized"),
        pytest.param((20, 80, []), (20, 38), id="short side"),
        pytest.param((48, 80, []), (43, 80), id="long side"),
        pytest.param((48, 80, [30, 30]), (30, 30), id="stretched"),
    ],
)
def test_torch_and_onnx_resize_to_the_same_size(
    tmp_path: Path, sizes: tuple[int, int, list[int]], expected_size: tuple[int, int]
) -> None:
    path = tmp_path / "noise.png"
    noise(32, 60).save(path)
    cfg = config("BGR")
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.FIXED_SIZE = sizes
    found = ImageReader("BGR", Resizing.from_config(cfg))(path)
    assert (found.original_size, found.size) == ((32, 60), expected_size)
    mapper = TestMapper.from_config(cfg)
    np.testing.assert_array_equal(found.pixels, channels_last(mapper.from_file(path)))
    in_memory = mapper.from_pixels(read_image(path, "BGR"))
    np.testing.assert_array_equal(found.pixels, channels_last(in_memory))
