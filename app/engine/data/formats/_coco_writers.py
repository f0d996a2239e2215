"""The frames that known writers of COCO files use.

Label Studio measures drawings in shares of the shown picture, but writes the size of the stored
picture as `width` and `height`. Its polygons are multiplied by that size. Its boxes are multiplied
by that size (up to version 0.0.40 of its converter) or by the shown size: which of the two is
decided from the numbers of all photographs in a file that EXIF turns.
"""

from collections.abc import Iterable
from pathlib import Path

from app.engine.data.formats._coco_file import CocoFile, CocoImage
from app.engine.data.formats._coco_objects import parse_box
from app.engine.data.formats._reading import Frame
from app.engine.data.images.headers import Header

_ROUNDING = 1.0  # pixels by which a box may reach beyond its picture


def box_frame(file: CocoFile, found: Iterable[tuple[CocoImage, Path, Header]]) -> Frame:
    """The frame of boxes without a mask in photographs that EXIF turns."""
    if not is_label_studio(file):
        return "auto"
    turned = [
        (image, header)
        for image, _, header in found
        if image.size == header.stored_size != header.size
    ]
    beyond_shown = beyond_stored = False
    for image, header in turned:
        for entry in file.annotations[image.key]:
            box = None if entry.get("segmentation") else parse_box(entry.get("bbox"))
            if box is not None:
                beyond_shown |= box[2] > header.size[1] + _ROUNDING
                beyond_stored |= box[3] > header.stored_size[0] + _ROUNDING
    if beyond_shown == beyond_stored:
        return "auto"
    return "scaled" if beyond_shown else "shown"


def mask_frame(file: CocoFile) -> Frame:
    """The frame of masks, and of the boxes of objects with a mask, in such photographs."""
    return "scaled" if is_label_studio(file) else "auto"


def is_label_studio(file: CocoFile) -> bool:
    """Whether the file names Label Studio as its writer."""
    return file.writer.lower().replace("-", " ").strip() == "label studio"
