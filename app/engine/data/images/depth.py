"""Convert images with more than 8 bits per value to 8 bits, given the value of white.

A 12-bit camera stores 0..4095 in 16 bits, others 0..255 or 0..1, and the file does not say which.
`depth_of_set` decides the value of white for a training.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.config import CfgNode
from app.engine.data.images.stored import Stored, Values, without_transparency
from app.engine.errors import ImageError
from app.engine.structures.deep import Deep

_FULL_BITS = 16
"""Bits of integers if not decided: 0 is black and 65535 white."""

BITS = (8, 10, 12, 14, 16, 24, 32)
"""Allowed values of INPUT.BITS_PER_SAMPLE, beside 0."""


@dataclass(frozen=True, slots=True)
class Depth:
    """The stored value of white in images with more than 8 bits; 0 is black.

    bits         significant bits of integers, white is 2**bits - 1; 0: not decided, used as 16
    float_white  the float value of white; 0: not decided, used as 1 in an image without larger
                 values, else 255
    """

    bits: int = 0
    float_white: float = 0.0

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Read INPUT.BITS_PER_SAMPLE and INPUT.FLOAT_WHITE."""
        return cls(int(cfg.INPUT.BITS_PER_SAMPLE), float(cfg.INPUT.FLOAT_WHITE))


UNDECIDED = Depth()


def eight_bits(stored: Stored, depth: Depth) -> tuple[Image.Image, Deep | None]:
    """Return the picture with 8 bits per value, and the value range if it has more.

    Raises ImageError if the depth needs low bytes that cannot be decoded.
    """
    if stored.has_wide_colours:
        return _of_colours(stored, depth)
    if stored.is_integer:
        pixels, deep = _of_integers(stored.values(), depth)
    elif stored.is_float:
        pixels, deep = _of_floats(stored.values(), depth)
    else:
        return stored.image, None
    return Image.fromarray(pixels), deep


def _of_colours(stored: Stored, depth: Depth) -> tuple[Image.Image, Deep]:
    """Use the high bytes if they are enough, which saves decoding the file a second time."""
    if depth.bits in (0, _FULL_BITS):
        high = without_transparency(stored.image)
        largest = (int(high.max(initial=0)) << 8) | 0xFF
        deep = Deep(largest, 0xFFFF, 0, high.size, bool(depth.bits))
        if depth.bits or not deep.looks_shallow:
            return stored.image, deep
    elif stored.is_cut:
        raise ImageError(
            f"its decoder gives only the high byte of each colour, and {depth.bits} bits are asked "
            "for by INPUT.BITS_PER_SAMPLE; save it as PNG"
        )
    pixels, deep = _of_integers(stored.values(), depth)
    mode = "CMYK" if stored.image.mode == "CMYK" else None
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels, mode), deep


def _of_integers(values: Values, depth: Depth) -> tuple[npt.NDArray[np.uint8], Deep]:
    bits = depth.bits or _FULL_BITS
    white = 2**bits - 1
    lowest, largest = int(values.min(initial=0)), int(values.max(initial=0))
    num_outside = 0
    if lowest < 0 or largest > white:
        num_outside = int(np.count_nonzero((values < 0) | (values > white)))
        values = np.clip(values, 0, min(white, largest))
    deep = Deep(largest, white, num_outside, values.size, bool(depth.bits))
    return (values >> (bits - 8)).astype(np.uint8), deep


def _of_floats(values: Values, depth: Depth) -> tuple[npt.NDArray[np.uint8], Deep]:
    values = np.nan_to_num(values, nan=0.0)
    largest = float(values.max(initial=0.0))
    white = depth.float_white or (1.0 if largest <= 1.0 else 255.0)
    num_outside = int(np.count_nonzero((values < 0) | (values > white)))
    deep = Deep(largest, white, num_outside, values.size, bool(depth.float_white))
    return np.rint(np.clip(values, 0, white) * (255.0 / white)).astype(np.uint8), deep
