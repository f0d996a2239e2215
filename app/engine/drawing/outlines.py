"""The outlines of boxes: solid for what was found, dashed for what was labelled."""

import math

from PIL import ImageDraw

from app.engine.drawing.colors import DARK, WHITE, Color
from app.engine.drawing.marks import Array

Rect = tuple[float, float, float, float]


def ordered(box: Array) -> Rect:
    """Return x0 y0 x1 y1 with x0 <= x1 and y0 <= y1."""
    x0, y0, x1, y1 = (float(value) for value in box)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def solid(pen: ImageDraw.ImageDraw, rect: Rect, color: Color, line: int) -> None:
    """Draw a box, with a dark thin line on both sides: so it is seen on any background."""
    x0, y0, x1, y1 = rect
    pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=DARK, width=line + 2)
    pen.rectangle(rect, outline=color, width=line)


def dashed(pen: ImageDraw.ImageDraw, rect: Rect, line: int) -> None:
    """Draw a box in white dashes with dark edges."""
    x0, y0, x1, y1 = rect
    dash = 4.0 * line
    for start, end in (
        ((x0, y0), (x1, y0)),
        ((x1, y0), (x1, y1)),
        ((x1, y1), (x0, y1)),
        ((x0, y1), (x0, y0)),
    ):
        length = math.hypot(end[0] - start[0], end[1] - start[1])
        for i in range(math.ceil(length / (2 * dash))):
            a, b = 2 * i * dash / length, min(1.0, (2 * i + 1) * dash / length)
            points = [
                (start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t)
                for t in (a, b)
            ]
            pen.line(points, fill=DARK, width=line + 1)
            pen.line(points, fill=WHITE, width=max(1, line - 1))
