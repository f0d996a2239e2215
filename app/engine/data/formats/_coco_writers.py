"""What the writers of COCO files that name themselves are known to mean.

Label Studio measures drawings in shares of the picture as people see it, but takes the size of the
stored one for `width` and `height`. Its corners of polygons are shares of that size. Its boxes are,
by version, shares of that size (up to 0.0.40 of its converter) or of the size that the browser saw:
the numbers of all turned photographs of a file together tell which.
"""

from collections.abc import Iterable
from pathlib import Path

from app.engine.data.formats._coco_file import CocoFile, CocoImage
from app.engine.data.formats._coco_objects import parse_box
from app.engine.data.formats._reading import Frame
from app.engine.data.images.headers import Header

_ROUNDING = 1.0  # pixels by which a box may reach beyond its picture


def box_frame(file: CocoFile, found: Iterable[tuple[CocoImage, Path, Header]]) -> Frame:
    """In which picture boxes without a mask lie where EXIF turns the photograph."""
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
    """The same for masks, and for the boxes around them."""
    return "scaled" if is_label_studio(file) else "auto"


def is_label_studio(file: CocoFile) -> bool:
    """Whether the file says that Label Studio wrote it."""
    return file.writer.lower().replace("-", " ").strip() == "label studio"
