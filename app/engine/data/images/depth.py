"""Images with more than 8 bits a value: which stored value is black, which is white.

A 12-bit camera stores 0..4095 in 16 bits, others 0..255 or shares of 1: the file does not say so.
`depth_of_set` decides it once for a training; here it is applied.
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
"""Of integers, where nothing else is decided: 0 is black and 65535 white."""

BITS = (8, 10, 12, 14, 16, 24, 32)
"""What INPUT.BITS_PER_SAMPLE may be, beside 0."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What is white in images with more than 8 bits; 0 is black.

    bits         of integers that are significant: 2**bits - 1 is white; 0: not decided, as 16
    float_white  the float that is white; 0: not decided: 1 in an image without larger values,
                 255 in others
    """

    bits: int = 0
    float_white: float = 0.0

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """As INPUT.BITS_PER_SAMPLE and INPUT.FLOAT_WHITE say."""
        return cls(int(cfg.INPUT.BITS_PER_SAMPLE), float(cfg.INPUT.FLOAT_WHITE))


UNDECIDED = Depth()


def eight_bits(stored: Stored, depth: Depth) -> tuple[Image.Image, Deep | None]:
    """A picture with 8 bits a value, and what was met in one with more.

    ImageError where the decided depth needs bits that cannot be decoded.
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
    """The high bytes are the picture wherever they say enough: there is no second decoding."""
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
