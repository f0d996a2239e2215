"""The objects of an image as a list, which can be chosen from, joined and written."""

import math
from collections.abc import Sequence
from itertools import repeat

from app.engine.data.formats._records import ParsedObject, record_of
from app.engine.structures.record import ImageRecord


def objects_of(record: ImageRecord) -> list[ParsedObject]:
    """The objects of a record, in its order; keypoints are left off."""
    nothing = repeat(False, len(record))
    return [
        ParsedObject(class_id, (x0, y0, x1, y1), bool(crowd), bool(difficult), mask, area)
        for class_id, (x0, y0, x1, y1), crowd, difficult, mask, area in zip(
            record.classes.tolist(),
            record.boxes.tolist(),
            nothing if record.crowd is None else record.crowd,
            nothing if record.difficult is None else record.difficult,
            record.segmentations or repeat(None, len(record)),
            record.extra.get("areas", repeat(math.nan, len(record))),
            strict=False,
        )
    ]


def with_objects(record: ImageRecord, objects: Sequence[ParsedObject]) -> ImageRecord:
    """The same image with these objects."""
    boxes = [found.box for found in objects]
    return record_of(record.path, record.size, objects, boxes, image_id=record.image_id)
