"""Targets: layouts in which detections go back to labelling tools and other trainers.

A target writes a whole set into a folder. What it cannot hold is counted in the problems.
"""

from app.exchange.targets import coco, cvat, labelme, voc, yolo
from app.exchange.targets._target import Target

__all__ = ["TARGETS", "Target"]

TARGETS: dict[str, Target] = {
    "coco": coco.TARGET,
    "yolo": yolo.TARGET,
    "voc": voc.TARGET,
    "labelme": labelme.TARGET,
    "cvat": cvat.TARGET,
}
"""Name of a layout -> its writer."""
