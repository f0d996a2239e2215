"""Resize bytes with Pillow, as detectron2 does; works without torch.

All that uses a model makes its input here, so that torch and ONNX Runtime get the same pixels.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.structures.size import Size

Bytes = npt.NDArray[np.uint8]


def resize_picture(picture: Image.Image, size: Size) -> Image.Image:
    """Resize a picture of mode RGB or L, bilinear with antialiasing."""
    return picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def resize_bytes(pixels: Bytes, size: Size) -> Bytes:
    """(H, W, 1 or 3) uint8 -> (*size, 1 or 3); the same pixels as `resize_picture`."""
    if pixels.shape[:2] == size:
        return pixels
    # Pillow expects one channel without a last axis, three channels with it.
    picture = Image.fromarray(
        np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    )
    resized = np.asarray(resize_picture(picture, size))
    return resized[:, :, None] if resized.ndim == 2 else resized
