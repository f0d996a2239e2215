"""Draws objects on pictures: boxes, masks, keypoints, label maps, and their names.

Pictures are Pillow images of mode RGB, as shown (turned as their EXIF says); nothing here imports
torch. `draw` returns a new picture, `contact_sheet` puts several into one.
"""

from app.engine.drawing.colors import class_color
from app.engine.drawing.draw import draw
from app.engine.drawing.label_map import LabelMap
from app.engine.drawing.marks import Marks
from app.engine.drawing.sheet import contact_sheet

__all__ = ["LabelMap", "Marks", "class_color", "contact_sheet", "draw"]
