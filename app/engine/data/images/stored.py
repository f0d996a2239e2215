"""Read stored values with more than 8 bits, also those of which Pillow decodes only 8 bits.

H, W, C: height, width and channels (without transparency)
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile

Values = npt.NDArray[Any]
"""(H, W) or (H, W, C) as stored: integers or floats."""

# Raw modes (without the byte order) in which Pillow's decoders return the high byte of 16 bits.
_HIGH_BYTE = frozenset({"RGB;16", "RGBX;16", "RGBA;16", "CMYK;16", "R;16", "G;16", "B;16", "A;16"})

# Byte order in the file (N: this machine's) -> the order with which the low byte is decoded.
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

# libtiff converts these to this machine's byte order, but Pillow swaps the bytes once more.
_SWAPPED_TWICE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}

_BITS, _SAMPLE_FORMAT, _PLANES = 258, 339, 284  # tags of TIFF
_UNSIGNED = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """A decoded file whose values may have more bits than Pillow returns.

    image     as Pillow decodes it: the high bytes of 16-bit colours
    low_half  decodes the low bytes of 16-bit colours, (H, W, C) uint8; None if there are none
    is_cut    whether there are low bytes that cannot be decoded
    """

    image: Image.Image
    low_half: Callable[[], Values] | None = None
    is_cut: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether the values are integers with more than 8 bits."""
        return self.image.mode.startswith("I") or self.has_wide_colours

    @property
    def is_float(self) -> bool:
        """Whether the values are floats."""
        return self.image.mode == "F"

    @property
    def has_wide_colours(self) -> bool:
        """Whether the values are integers of which `image` has only the high bytes."""
        return self.low_half is not None or self.is_cut

    def values(self) -> Values:
        """The values as stored, without transparency; low bytes that cannot be decoded are 0."""
        if not self.has_wide_colours:
            return _one_channel(self.image)
        high = without_transparency(self.image).astype(np.uint16)
        if self.low_half is None:
            return high << 8
        low = self.low_half()
        return (high[..., : low.shape[2]] << 8) | low


def mend_decoding(image: ImageFile) -> None:
    """Change the tiles of an image, before it is decoded, that Pillow 13 would decode wrongly.

    In TIFF files it decodes compressed numbers of the other byte order and planes of 16-bit colours
    as noise. It rounds 16-bit colours of PPM files to 8 bits slowly, one by one.
    """
    if image.format == "PPM":
        image.tile = [
            tile._replace(codec_name="raw", args=("RGB;16B", 0, 1))
            if tile.codec_name == "ppm" and tile.args == ("RGB", 65535)
            else tile
            for tile in image.tile
        ]
    tags = getattr(image, "tag_v2", None)
    if tags is None or not image.tile:
        return
    if image.tile[0].codec_name == "libtiff":
        image.tile = [_with_mode(tile, _SWAPPED_TWICE.get(_mode(tile), "")) for tile in image.tile]
    elif _has_wide_planes(image):
        # Pillow passes the plane's letter alone, which means 8 bits (or 32 bits for I).
        is_big = tags.prefix == b"MM"
        grey = {"I": "I;16BS" if is_big else "I;16S"}.get(image.mode, image.mode)
        image.tile = [
            _with_mode(tile, grey if mode == "I" else f"{mode};16{'B' if is_big else 'L'}")
            for tile in image.tile
            for mode in [_mode(tile)]
        ]


def low_half(image: ImageFile, again: Callable[[], ImageFile]) -> Callable[[], Values] | None:
    """Return a function that decodes the low bytes of 16-bit colours; None if there are none.

    It must be called before `image` is decoded; `again` opens the same file once more.
    """
    if not image.tile or _low_tile(image.tile[0]) is None or _is_cut_by_libtiff(image):
        return None
    is_grey = _mode(image.tile[0]) == "LA;16B"
    tiles: list[Any] = [_low_tile(tile) for tile in image.tile]

    def decode() -> Values:
        low = again()
        low.tile = tiles
        low.load()
        # Grey with transparency is decoded as four bytes per pixel; the second is the low byte.
        return np.asarray(low)[..., 1:2] if is_grey else without_transparency(low)

    return decode


def is_cut(image: ImageFile, data: bytes) -> bool:
    """Whether a file has 16-bit colours of which Pillow can decode only the high bytes."""
    if image.format == "JPEG2000" and not image.mode.startswith("I"):
        # Pillow scales other numbers of bits correctly.
        start = data.find(b"\xff\x4f\xff\x51")
        return len(data) > start + 42 and start >= 0 and (data[start + 42] & 0x7F) + 1 == 16
    if image.format == "PPM":
        return any(_arguments(tile) == ("RGB", 65535) for tile in image.tile)
    return image.format == "TIFF" and (
        _mode(image.tile[0]).startswith("RGBa;16") or _is_cut_by_libtiff(image)
    )


def _has_wide_planes(image: ImageFile) -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_PLANES, 1) == 2 and max(tags.get(_BITS, (1,))) == 16)


def _is_cut_by_libtiff(image: ImageFile) -> bool:
    """Whether 16-bit colours are in compressed planes: Pillow always decodes their high byte."""
    is_compressed = image.tile[0].codec_name == "libtiff"
    return is_compressed and not image.mode.startswith("I") and _has_wide_planes(image)


def _low_tile(tile: Any) -> Any | None:
    mode = _mode(tile)
    if mode == "LA;16B":
        return _with_mode(tile, "RGBA")
    if mode[:-1] in _HIGH_BYTE:
        return _with_mode(tile, mode[:-1] + _OTHER_ORDER[mode[-1]])
    return None


def _arguments(tile: Any) -> tuple[Any, ...]:
    return tile.args if isinstance(tile.args, tuple) else (tile.args,)


def _mode(tile: Any) -> str:
    return str(next(iter(_arguments(tile)), ""))


def _with_mode(tile: Any, mode: str) -> Any:
    """The tile with this raw mode; unchanged for an empty mode."""
    return tile._replace(args=(mode, *_arguments(tile)[1:])) if mode else tile


def without_transparency(image: Image.Image) -> Values:
    """(H, W, C) uint8."""
    values = np.asarray(image)
    return values[..., :-1] if image.mode in ("RGBA", "LA") else values


def _one_channel(image: Image.Image) -> Values:
    """(H, W) values; Pillow's signed 32-bit integers become unsigned if the file's are."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    is_unsigned = max(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == _UNSIGNED
    if image.mode == "I" and is_unsigned and max(tags.get(_BITS, (0,))) == 32:
        return values.view(np.uint32)
    return values
