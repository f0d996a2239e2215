"""A contact sheet: several pictures in one."""

import math
from collections.abc import Sequence

from PIL import Image

from app.engine.drawing.colors import WHITE

Size = tuple[int, int]

_GAP = 6


def contact_sheet(
    pictures: Sequence[Image.Image], *, columns: int = 0, cell: Size = (480, 640)
) -> Image.Image:
    """Arrange pictures in a grid of cells of at most (height, width); without any: one pixel.

    columns  number of columns; 0: about as many as rows
    """
    if not pictures:
        return Image.new("RGB", (1, 1), WHITE)
    columns = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    rows = -(-len(pictures) // columns)
    fitted = [_fitted(picture, cell) for picture in pictures]
    width, height = max(each.width for each in fitted), max(each.height for each in fitted)
    size_wh = (columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP)
    sheet = Image.new("RGB", size_wh, WHITE)
    for index, each in enumerate(fitted):
        left = _GAP + (index % columns) * (width + _GAP) + (width - each.width) // 2
        top = _GAP + (index // columns) * (height + _GAP) + (height - each.height) // 2
        sheet.paste(each, (left, top))
    return sheet


def _fitted(picture: Image.Image, cell: Size) -> Image.Image:
    """Resize a picture so that it just fits into (height, width)."""
    scale = min(cell[0] / picture.height, cell[1] / picture.width)
    size_wh = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size_wh, Image.Resampling.LANCZOS)
