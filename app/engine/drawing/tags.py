"""Tags: names and scores in coloured boxes, which neither overlap nor leave the picture."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from PIL import ImageDraw, ImageFont

from app.engine.drawing.colors import Color, ink_on
from app.engine.drawing.outlines import Rect

_MAX_SHARE = 0.15
"""Part of a picture that tags may cover; of more objects only the boxes are drawn."""

_UNKNOWN = "\uffff"
"""A character that no font has."""


class Tags:
    """The tags of one picture, of `size_wh` pixels; the first ones have the choice of places."""

    def __init__(self, pen: ImageDraw.ImageDraw, size_wh: tuple[int, int], font: int) -> None:
        self._pen = pen
        self._size_wh = size_wh
        self._font = ImageFont.load_default(float(font))
        self._taken: list[Rect] = []
        self._room = _MAX_SHARE * size_wh[0] * size_wh[1]  # square pixels

    def add(self, texts: Sequence[str], rect: Rect, color: Color) -> None:
        """Write the first of `texts` for which there is room near `rect`, if there is any."""
        for text in texts if self._room > 0 or not self._taken else ():
            text_box = self._pen.textbbox((0, 0), text, font=self._font)
            tag = free_place(text_box, rect, self._taken, self._size_wh)
            if tag is not None:
                self._taken.append(tag)
                self._room -= (tag[2] - tag[0]) * (tag[3] - tag[1])
                self._pen.rectangle(tag, fill=color)
                self._pen.text(
                    (tag[0] + 3, tag[3] - 3), text, font=self._font, fill=ink_on(color), anchor="ld"
                )
                return


def readable(name: str, index: int) -> str:
    """Return the name of class `index` in letters of the font, which has no accents.

    If the name has other letters, the number of the class is returned.
    """
    parts = unicodedata.normalize("NFKD", " ".join(name.split()))
    name = "".join(letter for letter in parts if not unicodedata.combining(letter))
    return name if name and all(map(_has_letter, name)) else f"class {index}"


@lru_cache(maxsize=1024)
def _has_letter(letter: str) -> bool:
    font = ImageFont.load_default(20.0)
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask(_UNKNOWN))


def free_place(
    text_box: Rect, box: Rect, taken: Sequence[Rect], size_wh: tuple[int, int]
) -> Rect | None:
    """Return a free place for a tag: above its box, inside at the top, below; else None."""
    width, height = text_box[2] - text_box[0] + 6, text_box[3] + 5
    left = min(max(box[0], 0), size_wh[0] - width)
    if left < 0:  # wider than the picture
        return None
    for top in (box[1] - height, max(box[1], 0), box[3], box[3] - height):
        tag = (left, top, left + width, top + height)
        inside = top >= 0 and tag[3] <= size_wh[1]
        if inside and not any(_overlap(tag, other) for other in taken):
            return tag
    return None


def _overlap(first: Rect, second: Rect) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )
