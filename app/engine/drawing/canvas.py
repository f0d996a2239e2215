"""A picture to draw on, and how thick lines and letters on it are."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from app.engine.drawing.marks import Array

_LONGEST = 4000
"""Pictures are not enlarged beyond this many pixels."""


@dataclass
class Canvas:
    """A picture that is drawn on.

    scale  pixels of the canvas for a pixel of the original picture
    line   width of lines, in pixels of the canvas
    font   height of letters
    """

    image: Image.Image
    scale: float
    line: int
    font: int

    @classmethod
    def over(cls, picture: Image.Image, boxes: Array, *, min_side: int) -> "Canvas":
        """Copy a picture, enlarged to a short side of `min_side` pixels if it is smaller.

        Lines and letters grow with the picture, and are finer where most of `boxes` are small.
        """
        short, long = min(picture.size), max(picture.size)
        scale = max(1.0, min(max(1.0, min_side / short), _LONGEST / long))
        copy = picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
        if scale > 1:
            size_wh = round(copy.width * scale), round(copy.height * scale)
            copy = copy.resize(size_wh, Image.Resampling.BICUBIC)
        short = round(short * scale)
        side = _typical_side(boxes) * scale
        line = max(min(short / 220, side / 16), short / 600, 2.0)
        font = max(min(short / 34, side / 3), short / 75, 12.0)
        return cls(copy, scale, round(line), round(font))

    @property
    def pen(self) -> ImageDraw.ImageDraw:
        """A new pen for the image as it is now."""
        return ImageDraw.Draw(self.image)


def _typical_side(boxes: Array) -> float:
    """Return the median side of boxes (R, 4); infinite without boxes."""
    if not len(boxes):
        return float("inf")
    sides = np.sqrt(np.abs((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
    return float(np.median(sides))
