"""Draw what was found in a picture, and what was labelled."""

from collections.abc import Sequence

from PIL import Image

from app.engine.drawing.canvas import Canvas
from app.engine.drawing.colors import class_color
from app.engine.drawing.keypoints import draw_keypoints
from app.engine.drawing.label_map import LabelMap
from app.engine.drawing.marks import Marks
from app.engine.drawing.outlines import dashed, ordered, solid
from app.engine.drawing.regions import paint_label_map, paint_masks
from app.engine.drawing.tags import Tags, readable

MIN_SIDE = 400
"""Short side in pixels to which smaller pictures are enlarged, so that tags can be read."""


def draw(
    picture: Image.Image,
    marks: Marks,
    class_names: Sequence[str],
    *,
    labelled: Marks | None = None,
    label_map: LabelMap | None = None,
    min_side: int = MIN_SIDE,
) -> Image.Image:
    """Return a copy of `picture` with its objects, whose coordinates are in pixels of `picture`.

    labelled   objects that were labelled, drawn as dashed white outlines without names
    label_map  classes of pixels, drawn below the objects
    min_side   enlarge the copy until its short side has at least this many pixels
    """
    canvas = Canvas.over(picture, marks.boxes, min_side=min_side)
    if label_map is not None:
        paint_label_map(canvas, label_map)
    if marks.masks is not None:
        paint_masks(canvas, marks)
    pen = canvas.pen
    rects = [ordered(box * canvas.scale) for box in marks.boxes]
    # The best objects are drawn last, on top of the others.
    for rect, index in reversed(list(zip(rects, marks.classes, strict=True))):
        solid(pen, rect, class_color(int(index)), canvas.line)
    for box in [] if labelled is None else labelled.boxes * canvas.scale:
        dashed(pen, ordered(box), canvas.line)
    if marks.keypoints is not None:
        draw_keypoints(canvas, marks)
    tags = Tags(canvas.pen, canvas.image.size, canvas.font)
    for row, rect in enumerate(rects):
        index = int(marks.classes[row])
        name = readable(class_names[index], index)
        # Where there is no room, the name is left out first, then the whole tag.
        score = "" if marks.scores is None else f"{100 * float(marks.scores[row]):.0f}%"
        tags.add([f"{name} {score}".strip(), *([score] if score else [])], rect, class_color(index))
    if label_map is not None:
        _name_regions(tags, label_map, canvas.scale)
    return canvas.image


def _name_regions(tags: Tags, label_map: LabelMap, scale: float) -> None:
    for value in label_map.values():
        x, y = label_map.middle(value)
        rect = (x * scale, y * scale, x * scale, y * scale)
        tags.add([readable(label_map.names[value], value)], rect, label_map.colors[value])
