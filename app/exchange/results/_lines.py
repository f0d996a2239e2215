"""What `detex detect --json` writes: an object for each image, and one with the sums at the end."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.engine.structures.size import Size
from app.exchange.detected import DetectedImage, DetectedObject, DetectedSet
from app.exchange.results._parts import mask_of, size_of


def read_lines(lines: Sequence[Mapping[str, Any]]) -> DetectedSet:
    """Read the images; those that detect could not read have no size."""
    names = [name for line in lines for name in line.get("class_names", ())]
    return DetectedSet(
        [_image(line) for line in lines if line["event"] == "image"], list(map(str, names))
    )


def _image(line: Mapping[str, Any]) -> DetectedImage:
    name = str(line["file"])
    if "error" in line:
        return DetectedImage(name, None)
    size = size_of(line)
    return DetectedImage(name, size, [_object(found, size) for found in line["objects"]])


def _object(found: Mapping[str, Any], size: Size | None) -> DetectedObject:
    x0, y0, x1, y1 = map(float, found["box"])
    return DetectedObject(
        str(found["class"]),
        (x0, y0, x1, y1),
        float(found["score"]),
        mask_of(found, size),
        bool(found.get("keypoints")),
    )
