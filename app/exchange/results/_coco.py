"""Results in COCO's formats: infer's with masks (one data set), detect's (a list of objects)."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.engine.structures.run_lengths import as_rle
from app.exchange.detected import DetectedImage, DetectedObject, DetectedSet


def read_dataset(content: Mapping[str, Any]) -> DetectedSet:
    """Read images, categories and objects of one COCO file."""
    return _joined(content["images"], content["categories"], content["annotations"])


def read_results(objects: Iterable[Any], info: Mapping[str, Any]) -> DetectedSet:
    """Read a list of objects, with the images and categories of image_info.json."""
    return _joined(info["images"], info["categories"], objects)


def _joined(
    images: Iterable[Mapping[str, Any]],
    categories: Iterable[Mapping[str, Any]],
    objects: Iterable[Mapping[str, Any]],
) -> DetectedSet:
    names = {
        category["id"]: str(category["name"])
        for category in categories
        if category.get("isthing", 1)
    }
    images = list(images)
    found: dict[Any, list[DetectedObject]] = {image["id"]: [] for image in images}
    for each in objects:
        found[each["image_id"]].append(_object(each, names))
    return DetectedSet(
        [
            DetectedImage(str(image["file_name"]), _size(image), found[image["id"]])
            for image in images
        ],
        list(names.values()),
    )


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width); None where infer could not read the image, which it writes as 0 x 0."""
    height, width = int(image.get("height") or 0), int(image.get("width") or 0)
    return (height, width) if height > 0 and width > 0 else None


def _object(found: Mapping[str, Any], names: Mapping[Any, str]) -> DetectedObject:
    x, y, width, height = map(float, found["bbox"])
    score = float(found["confidence"] if "confidence" in found else found["score"])
    return DetectedObject(
        names[found["category_id"]],
        (x, y, x + width, y + height),
        score,
        as_rle(found.get("segmentation")),
    )
