"""The colour of each class."""

import colorsys
import math
from collections.abc import Sequence

Color = tuple[int, int, int]

DARK: Color = (16, 18, 22)
WHITE: Color = (255, 255, 255)

_FIRST_COLORS: Sequence[Color] = (
    *((255, 92, 56), (36, 200, 214), (255, 202, 40), (126, 87, 255), (102, 212, 74)),
    *((255, 98, 176), (54, 132, 255), (178, 232, 36), (255, 148, 66), (0, 190, 140)),
)


def class_color(index: int) -> Color:
    """Return the colour of class `index`, always the same and bright."""
    if index < len(_FIRST_COLORS):
        return _FIRST_COLORS[index]
    hue = (index * 0.61803398875) % 1.0  # golden ratio: neighbours are far apart
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65 + 0.2 * (index % 2), 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def ink_on(color: Color) -> Color:
    """Return the colour in which text can be read on `color`."""
    red, green, blue = (math.pow(value / 255, 2.2) for value in color)
    return DARK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 else WHITE
