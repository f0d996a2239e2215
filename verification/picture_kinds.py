"""Pictures of every kind whose pixels could be read differently: turned, deep, grey, narrow, ..."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

BITS = 12
"""Significant bits of the pictures with 16."""


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
    **{f"turned {n}": ("jpg", partial(turned, number=n)) for n in range(2, 9)},
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
    "square": ("png", lambda path: noise(40, 40).save(path)),
}
"""Kind -> suffix of the file, and the function that writes it."""


def write_picture(kind: str, folder: Path) -> Path:
    """Write the picture of a kind, and return its path."""
    suffix, write = PICTURES[kind]
    path = folder / f"picture.{suffix}"
    write(path)
    return path
