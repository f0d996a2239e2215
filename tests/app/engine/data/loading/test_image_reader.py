"""Every way to make the network's input of a picture gives the same pixels, which are Pillow's."""

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
from verification.picture_kinds import BITS, PICTURES, noise, write_picture

Pixels = npt.NDArray[Any]

EDGE, LONGEST = 40, 90


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
    path = write_picture(kind, tmp_path)
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
