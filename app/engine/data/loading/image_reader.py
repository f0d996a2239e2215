"""Files and pixels become network inputs, alike for torch and ONNX Runtime; torch is not imported.

H, W, C: height, width and channels
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from app.engine.data.images.depth import UNDECIDED, Depth
from app.engine.data.images.reading import Pixels, pixels_of, read_picture
from app.engine.data.transforms.resizing import resize_bytes, resize_picture
from app.engine.structures.deep import Deep
from app.engine.structures.size import Resizing, Size
from app.engine.structures.tiles import TileGrid

BYTE_FORMATS = ("BGR", "RGB", "L")
"""Values of INPUT.FORMAT whose pixels are uint8."""


@dataclass(frozen=True, slots=True)
class ResizedImage:
    """An image resized for the network, before padding.

    pixels         (H, W, C) uint8
    original_size  size before resizing
    image_id       name of the file; empty for images without a file
    deep           findings in an image with more than 8 bits, or None
    is_uncut       `pixels` are a whole photograph, not resized, to be cut into tiles
    """

    pixels: Pixels
    original_size: Size
    image_id: str = ""
    deep: Deep | None = None
    is_uncut: bool = False

    @property
    def size(self) -> Size:
        """(height, width) of `pixels`."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Reads files, or takes pixels, and resizes the images.

    image_format  channel order: BGR, RGB or L
    resizing      the sizes of images for the network
    depth         white level of images with more than 8 bits
    grid          the tiles into which large photographs are cut; None: all images stay whole
    """

    image_format: str
    resizing: Resizing
    depth: Depth = UNDECIDED
    grid: TileGrid | None = None

    def __call__(self, path: Path) -> ResizedImage:
        """Return the image of a file; ImageError if it cannot be read."""
        picture, deep = read_picture(path, self.image_format, self.depth)
        # Resizing before the conversion to an array saves a copy of the large image.
        size = (picture.height, picture.width)
        if self.grid is not None and self.grid.cuts(size):
            pixels = pixels_of(picture, self.image_format)
            return ResizedImage(pixels, size, path.name, deep, is_uncut=True)
        resized = resize_picture(picture, self.resizing(size))
        return ResizedImage(pixels_of(resized, self.image_format), size, path.name, deep)

    def from_pixels(self, pixels: Pixels) -> ResizedImage:
        """Resize pixels (H, W, C) uint8 in the model's channel order, unless they are to be cut."""
        size = (pixels.shape[0], pixels.shape[1])
        if self.grid is not None and self.grid.cuts(size):
            return ResizedImage(pixels, size, is_uncut=True)
        return self.resized(pixels)

    def resized(self, pixels: Pixels) -> ResizedImage:
        """Resize an image or tile, which is not cut, whatever its size."""
        size = (pixels.shape[0], pixels.shape[1])
        return ResizedImage(resize_bytes(pixels, self.resizing(size)), size)


def in_channel_order(pixels: Pixels, image_format: str) -> Pixels:
    """(H, W, 3) uint8 BGR -> the channels of BGR, RGB, L or YUV-BT.601."""
    if image_format == "BGR":
        return pixels
    if image_format == "RGB":
        return pixels[..., ::-1]
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    return pixels_of(picture.convert("L") if image_format == "L" else picture, image_format)
