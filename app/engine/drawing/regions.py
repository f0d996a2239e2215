"""Translucent regions: masks of objects and label maps."""

import numpy as np
from PIL import Image

from app.engine.drawing.canvas import Canvas
from app.engine.drawing.colors import WHITE, Color, class_color
from app.engine.drawing.label_map import LabelMap
from app.engine.drawing.marks import Array, Marks

_OPACITY = 0.42
_EDGE_OPACITY = 0.9


def paint_masks(canvas: Canvas, marks: Marks) -> None:
    """Paint the masks in the colours of their classes, with a line around each."""
    assert marks.masks is not None
    pixels = np.array(canvas.image)
    # The best objects are painted last, on top of the others.
    for row in reversed(range(len(marks))):
        color = class_color(int(marks.classes[row]))
        _paint(pixels, _stretched(marks.masks[row], canvas), color, color, canvas.line)
    canvas.image = Image.fromarray(pixels)


def paint_label_map(canvas: Canvas, label_map: LabelMap) -> None:
    """Paint each value of a label map in its colour, with white lines between the regions."""
    pixels = np.array(canvas.image)
    for value in label_map.values():
        region = _stretched(label_map.labels == value, canvas)
        _paint(pixels, region, label_map.colors[value], WHITE, max(1, canvas.line // 2))
    canvas.image = Image.fromarray(pixels)


def _stretched(mask: Array, canvas: Canvas) -> Array:
    """Return a mask (H, W) in the size of the canvas."""
    bitmap = Image.fromarray(np.asarray(mask).astype(np.uint8) * 255)
    if bitmap.size == canvas.image.size:
        return np.asarray(mask, dtype=np.bool_)
    return np.asarray(bitmap.resize(canvas.image.size)) > 127


def _paint(pixels: Array, mask: Array, fill: Color, edge: Color, line: int) -> None:
    """Mix two colours into `pixels`, in place: one inside the mask, one along its border."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    width = max(1, line // 2)
    top, left = max(rows[0] - width, 0), max(columns[0] - width, 0)
    part = np.s_[top : rows[-1] + width + 1, left : columns[-1] + width + 1]
    inside = mask[part]
    border = inside & ~_eroded(inside, width)
    _mix(pixels[part], inside & ~border, fill, _OPACITY)
    _mix(pixels[part], border, edge, _EDGE_OPACITY)


def _mix(pixels: Array, where: Array, color: Color, opacity: float) -> None:
    there = pixels[where].astype(np.float32)
    pixels[where] = (there + (np.array(color, np.float32) - there) * opacity).round()


def _eroded(mask: Array, width: int) -> Array:
    """Return the pixels whose neighbours up to `width` rows and columns away are set."""
    padded = np.pad(mask, width, mode="edge")  # the end of the picture is no border
    found = mask.copy()
    height, length = mask.shape
    for step in range(1, width + 1):
        for down, right in ((step, 0), (-step, 0), (0, step), (0, -step)):
            top, left = width + down, width + right
            found &= padded[top : top + height, left : left + length]
    return found
