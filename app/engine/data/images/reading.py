"""Read the pixels of image files.

H, W: height and width as displayed
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.data.images.decoding import content_of, decode, explained
from app.engine.data.images.depth import UNDECIDED, Depth, eight_bits
from app.engine.data.images.headers import orientation_of
from app.engine.data.images.stored import Values
from app.engine.errors import ImageError
from app.engine.structures.deep import Deep

Pixels = npt.NDArray[Any]
"""(H, W, C) uint8, or float64 for YUV-BT.601."""

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


def read_image(path: Path, format: str = "BGR", depth: Depth = UNDECIDED) -> Pixels:
    """Read pixels as displayed: (H, W, 3) uint8, (H, W, 1) for "L", float64 for "YUV-BT.601".

    `depth` has the value of white in images with more than 8 bits. Raises ImageError if the file is
    not a readable picture; its subclasses are StorageError if the storage does not give the file,
    and DoesNotFitError if memory is too small.
    """
    return read_deep_image(path, format, depth)[0]


def read_deep_image(path: Path, format: str, depth: Depth) -> tuple[Pixels, Deep | None]:
    """Read pixels as `read_image`, and the value range of an image with more than 8 bits."""
    with explained(path):
        picture, deep = _picture(content_of(path), format, depth)
        return pixels_of(picture, format), deep


def read_picture(path: Path, format: str, depth: Depth) -> tuple[Image.Image, Deep | None]:
    """Read the Pillow image for `read_deep_image`: of mode L for "L", else RGB."""
    with explained(path):
        return _picture(content_of(path), format, depth)


def picture_of_content(
    content: bytes, format: str, depth: Depth, *, name: str
) -> tuple[Image.Image, Deep | None]:
    """Like `read_picture`, of the content of a file; `name` stands for its path in messages."""
    with explained(Path(name)):
        return _picture(content, format, depth)


def upright_picture(image: Image.Image, *, name: str) -> Image.Image:
    """Turn a Pillow image of 8 bits as its EXIF says, and convert it to RGB.

    Raises ImageError if its content cannot be decoded.
    """
    with explained(Path(name)):
        image.load()
        return rgb(upright(image, image))


def stored_values(path: Path) -> Values | None:
    """Read the stored values of an image with more than 8 bits; None for other images.

    (H, W) or (H, W, C) without transparency. Raises ImageError also if the low bytes cannot be
    decoded.
    """
    with explained(path):
        stored = decode(content_of(path))
        if stored.is_cut:
            raise ImageError("its decoder gives only the high byte of each colour; save it as PNG")
        return stored.values() if stored.is_integer or stored.is_float else None


def pixels_of(picture: Image.Image, format: str) -> Pixels:
    """Make the array of a picture that `read_picture` returned for the same format."""
    if format == "L":
        return np.array(picture)[:, :, None]
    if format == "RGB":
        return np.array(picture)
    if format == "BGR":
        # Pillow can write BGR as fast as RGB; reversing the array afterwards would be slow.
        packed = np.frombuffer(picture.tobytes("raw", "BGR"), dtype=np.uint8)
        return packed.reshape(picture.height, picture.width, 3).copy()
    assert format == "YUV-BT.601"
    yuv: Pixels = (np.asarray(picture) / 255.0) @ _RGB_TO_YUV.T
    return yuv


def read_labels(path: Path) -> npt.NDArray[Any]:
    """Read a label map (H, W) of integers as stored: grey values or palette indices, unscaled."""
    with explained(path):
        image = decode(content_of(path)).image
        image = upright(image, image)
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise ImageError(f"a label map has one channel, this one is {image.mode}")
        return np.array(image)


def _picture(content: bytes, format: str, depth: Depth) -> tuple[Image.Image, Deep | None]:
    stored = decode(content)
    picture, deep = eight_bits(stored, depth)
    image = upright(picture, stored.image)
    return image.convert("L") if format == "L" else rgb(image), deep


def upright(image: Image.Image, as_opened: Image.Image) -> Image.Image:
    """Apply the EXIF orientation of `as_opened`."""
    turn = _TURN.get(orientation_of(as_opened))
    return image if turn is None else image.transpose(turn)


def rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB without transparency."""
    if image.mode == "RGB":
        return image
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    # Without this entry Pillow does not warn that it drops a palette's transparency.
    image.info.pop("transparency", None)
    return image.convert("RGB")
