"""Keypoints, and the lines between them."""

from PIL import ImageDraw

from app.engine.drawing.canvas import Canvas
from app.engine.drawing.colors import DARK, WHITE, Color, class_color
from app.engine.drawing.marks import Edges, Marks

_LOWEST_SCORE = 0.05
"""Keypoints with a lower score are not drawn, as in detectron2."""

PERSON_EDGES: Edges = (
    *((0, 1), (0, 2), (1, 3), (2, 4)),  # nose, eyes, ears
    *((5, 6), (5, 7), (7, 9), (6, 8), (8, 10)),  # shoulders, elbows, wrists
    *((5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),  # hips, knees, ankles
)
"""The skeleton of COCO's 17 keypoints of a person, without its doubled lines of the head."""


def draw_keypoints(canvas: Canvas, marks: Marks) -> None:
    """Draw the keypoints of all objects, with lines for `marks.edges`."""
    assert marks.keypoints is not None
    pen = canvas.pen
    for row in reversed(range(len(marks))):
        color = class_color(int(marks.classes[row]))
        points = {
            number: (x * canvas.scale, y * canvas.scale)
            for number, (x, y, score) in enumerate(marks.keypoints[row].tolist())
            if score > _LOWEST_SCORE
        }
        for one, other in marks.edges:
            if one in points and other in points:
                ends = [points[one], points[other]]
                pen.line(ends, fill=DARK, width=canvas.line + 2)
                pen.line(ends, fill=color, width=canvas.line)
        for point in points.values():
            _dot(pen, point, canvas.line + 1, color)


def _dot(pen: ImageDraw.ImageDraw, point: tuple[float, float], radius: int, color: Color) -> None:
    x, y = point
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color, outline=WHITE)
