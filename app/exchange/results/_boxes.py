"""infer-result.json with boxes: `detection` -> name of the image -> `boxes`."""

from collections.abc import Mapping
from typing import Any

from app.exchange.detected import DetectedImage, DetectedObject, DetectedSet

_KEY = "boxes"
_OLD_KEY = "annotations"  # of old platforms


def read_boxes(detection: Mapping[str, Any]) -> DetectedSet:
    """Read the boxes of each image; sizes and the list of classes are not in such a file."""
    return DetectedSet(
        [
            DetectedImage(name, None, [_object(found) for found in _boxes(entry)])
            for name, entry in detection.items()
        ]
    )


def _boxes(entry: Mapping[str, Any]) -> Any:
    return entry[_OLD_KEY] if _OLD_KEY in entry else entry[_KEY]


def _object(found: Mapping[str, Any]) -> DetectedObject:
    box = found["box"]
    x, y, width, height = (float(box[key]) for key in ("x", "y", "w", "h"))
    box = (x, y, x + width, y + height)
    return DetectedObject(str(found["class_name"]), box, float(found["score"]))
