"""Draws detections on images: boxes, masks, keypoints and labels.

Images are (H, W, 3) uint8 RGB. Small images are enlarged first, so that labels can be read.
"""

import colorsys
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from app.engine.structures.boxes import Size
from app.engine.structures.detections import Detections

Picture = npt.NDArray[np.uint8]
Color = tuple[int, int, int]
Rect = tuple[float, float, float, float]

_MASK_OPACITY = 0.42
_DARK: Color = (16, 18, 22)
_WHITE: Color = (255, 255, 255)
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


def draw(
    image: Picture,
    detections: Detections,
    class_names: Sequence[str],
    *,
    score_thresh: float = 0.0,
    gt_boxes: npt.NDArray[np.float32] | None = None,
    min_side: int = 400,
) -> Picture:
    """Return a copy of `image` with its detections, whose coordinates are in pixels of `image`.

    score_thresh  leave out detections with lower scores
    gt_boxes      (G, 4) labelled boxes, drawn as dashed white outlines
    min_side      enlarge the picture until its short side has at least this many pixels
    """
    shown = detections.to("cpu").select(detections.scores.cpu() >= score_thresh)
    canvas, scale = _enlarged(image, min_side)
    if shown.masks is not None and len(shown):
        canvas = _paint_masks(canvas, shown)
    pen = ImageDraw.Draw(canvas)
    line = max(3, round(min(canvas.size) / 200))
    boxes = (shown.boxes.float() * scale).numpy()
    # The best detections are drawn last, on top of the others.
    for row in reversed(range(len(shown))):
        _box(pen, boxes[row], class_color(int(shown.classes[row])), line)
    for box in () if gt_boxes is None else gt_boxes * scale:
        _dashed(pen, box, line)
    if shown.keypoints is not None:
        _keypoints(pen, shown, scale, line)
    _labels(pen, shown, boxes, class_names, canvas.size)
    return np.asarray(canvas, dtype=np.uint8)


def mosaic(images: Sequence[Picture], *, columns: int = 0, cell: Size = (480, 640)) -> Picture:
    """Arrange pictures in a grid of cells of at most (height, width); without any: one pixel.

    columns  number of columns; 0: about as many as rows
    """
    if not images:
        return np.full((1, 1, 3), 255, dtype=np.uint8)
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows, gap = -(-len(images) // columns), 6
    height, width = _tight_cell(images, cell)
    size_wh = (columns * (width + gap) + gap, rows * (height + gap) + gap)
    sheet = Image.new("RGB", size_wh, _WHITE)
    for index, picture in enumerate(images):
        fitted = _fitted(picture, (height, width))
        left = gap + (index % columns) * (width + gap) + (width - fitted.width) // 2
        top = gap + (index // columns) * (height + gap) + (height - fitted.height) // 2
        sheet.paste(fitted, (left, top))
    return np.asarray(sheet, dtype=np.uint8)


def _tight_cell(images: Sequence[Picture], cell: Size) -> Size:
    fitted = [_fit_scale(picture, cell) for picture in images]
    pairs = list(zip(images, fitted, strict=True))
    height = max(round(picture.shape[0] * scale) for picture, scale in pairs)
    return max(1, height), max(1, *(round(p.shape[1] * scale) for p, scale in pairs), 1)


def _fit_scale(picture: Picture, cell: Size) -> float:
    height, width = picture.shape[:2]
    return min(cell[0] / int(height), cell[1] / int(width))


def _fitted(picture: Picture, cell: Size) -> Image.Image:
    scale = _fit_scale(picture, cell)
    size_wh = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return Image.fromarray(picture).resize(size_wh, Image.Resampling.LANCZOS)


def _enlarged(image: Picture, min_side: int) -> tuple[Image.Image, float]:
    scale = max(1.0, min_side / min(image.shape[:2]))
    # Very long pictures are not enlarged beyond 4000 pixels.
    scale = max(1.0, min(scale, 4000 / max(image.shape[:2])))
    canvas = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    if scale > 1:
        size_wh = round(canvas.width * scale), round(canvas.height * scale)
        canvas = canvas.resize(size_wh, Image.Resampling.BICUBIC)
    return canvas, scale


def _paint_masks(canvas: Image.Image, shown: Detections) -> Image.Image:
    assert shown.masks is not None
    pixels = np.asarray(canvas).astype(np.float32)
    for row in reversed(range(len(shown))):
        bitmap = Image.fromarray(shown.masks[row].numpy().astype(np.uint8) * 255)
        covered = np.asarray(bitmap.resize(canvas.size)) > 127
        color = np.array(class_color(int(shown.classes[row])), dtype=np.float32)
        pixels[covered] += (color - pixels[covered]) * _MASK_OPACITY
    return Image.fromarray(pixels.round().astype(np.uint8))


def _box(pen: ImageDraw.ImageDraw, box: npt.NDArray[np.float32], color: Color, line: int) -> None:
    x0, y0, x1, y1 = _ordered(box)
    # A dark thin line on both sides makes the colour visible on any background.
    pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=_DARK, width=line + 2)
    pen.rectangle((x0, y0, x1, y1), outline=color, width=line)


def _dashed(pen: ImageDraw.ImageDraw, box: npt.NDArray[np.float32], line: int) -> None:
    x0, y0, x1, y1 = _ordered(box)
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
            pen.line(points, fill=_DARK, width=line + 1)
            pen.line(points, fill=_WHITE, width=max(1, line - 1))


def _ordered(box: npt.NDArray[np.float32]) -> Rect:
    x0, y0, x1, y1 = (float(value) for value in box)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _keypoints(pen: ImageDraw.ImageDraw, shown: Detections, scale: float, line: int) -> None:
    assert shown.keypoints is not None
    for row in range(len(shown)):
        color = class_color(int(shown.classes[row]))
        for x, y, score in (shown.keypoints[row].numpy() * [scale, scale, 1.0]).tolist():
            if score > 0.05:
                radius = line + 1
                corners = (x - radius, y - radius, x + radius, y + radius)
                pen.ellipse(corners, fill=color, outline=_WHITE)


def _labels(
    pen: ImageDraw.ImageDraw,
    shown: Detections,
    boxes: npt.NDArray[np.float32],
    class_names: Sequence[str],
    size_wh: tuple[int, int],
) -> None:
    font = ImageFont.load_default(float(max(12, min(28, round(min(size_wh) / 32)))))
    taken: list[Rect] = []
    for row in range(len(shown)):
        name = class_names[int(shown.classes[row])]
        box, score = _ordered(boxes[row]), f"{100 * float(shown.scores[row]):.0f}%"
        color = class_color(int(shown.classes[row]))
        ink = _DARK if _luminance(color) > 0.45 else _WHITE
        # Where there is no room, the name is left out first, then the whole label.
        for text in (f"{name} {score}", score):
            tag = _free_place(pen.textbbox((0, 0), text, font=font), box, taken, size_wh)
            if tag is not None:
                taken.append(tag)
                pen.rectangle(tag, fill=color)
                pen.text((tag[0] + 3, tag[3] - 3), text, font=font, fill=ink, anchor="ld")
                break


def _free_place(
    text_box: Rect, box: Rect, taken: Sequence[Rect], size_wh: tuple[int, int]
) -> Rect | None:
    """Return a free place for a label: above its box, inside at the top, below; else None."""
    width, height = text_box[2] - text_box[0] + 6, text_box[3] + 5
    left = min(max(box[0], 0), max(0, size_wh[0] - width))
    for top in (box[1] - height, box[1], box[3], box[3] - height):
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


def _luminance(color: Color) -> float:
    red, green, blue = (math.pow(value / 255, 2.2) for value in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
