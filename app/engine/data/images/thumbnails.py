"""Small grey pictures of image files, read as cheaply as the file format allows."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.data.images.decoding import (
    DECODER_ERRORS,
    check_regular,
    content_of,
    decode,
    explained,
    open_image,
)
from app.engine.data.images.reading import rgb, upright

SIDE = 32
"""Width and height of a thumbnail; the image is stretched to it."""

Thumbnail = npt.NDArray[np.float32]
"""(SIDE, SIDE): grey levels from 0, black, to 255, white or the brightest value of the image."""


def read_thumbnail(path: Path) -> Thumbnail:
    """Read an image as displayed, in grey and small. Raises ImageError as `read_image` does."""
    with explained(path):
        small = _small_jpeg(path)
        return _grey(path) if small is None else np.asarray(_shrunk(small), dtype=np.float32)


def _small_jpeg(path: Path) -> Image.Image | None:
    """Decode a JPEG at up to an eighth of its size; None for others and for damaged files."""
    check_regular(path)
    with path.open("rb") as file:
        image = open_image(file)
        if image.format not in ("JPEG", "MPO"):
            return None
        # Twice the side: the averages of a quarter as many pixels would differ from a full decode.
        image.draft("L", (2 * SIDE, 2 * SIDE))
        try:
            image.load()
        except DECODER_ERRORS:
            return None  # `decode` knows which damage leaves the picture whole
        return upright(image.convert("L"), image)


def _grey(path: Path) -> Thumbnail:
    stored = decode(content_of(path))
    if not (stored.is_integer or stored.is_float):
        return np.asarray(_shrunk(upright(stored.image, stored.image)), dtype=np.float32)
    values = np.nan_to_num(stored.values().astype(np.float32), posinf=0.0, neginf=0.0)
    grey = Image.fromarray(values if values.ndim == 2 else values.mean(axis=2))
    small: npt.NDArray[Any] = np.asarray(_shrunk(upright(grey, stored.image)))
    # The file does not say which value is white.
    return small * np.float32(255 / max(float(small.max()), 1e-6))


def _shrunk(image: Image.Image) -> Image.Image:
    if image.mode not in ("L", "F"):
        image = rgb(image).convert("L")
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=4)
