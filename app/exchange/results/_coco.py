"""Results in COCO's formats: infer's with masks (one data set), detect's (a list of objects)."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.engine.structures.size import Size
from app.exchange.detected import DetectedImage, DetectedObject, DetectedSet
from app.exchange.results._parts import mask_of, size_of


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
    sizes = {image["id"]: size_of(image) for image in images}
    found: dict[Any, list[DetectedObject]] = {number: [] for number in sizes}
    for each in objects:
        found[each["image_id"]].append(_object(each, names, sizes[each["image_id"]]))
    return DetectedSet(
        [
            DetectedImage(str(image["file_name"]), sizes[image["id"]], found[image["id"]])
            for image in images
        ],
        list(names.values()),
    )


def _object(
    found: Mapping[str, Any], names: Mapping[Any, str], size: Size | None
) -> DetectedObject:
    x, y, width, height = map(float, found["bbox"])
    score = float(found["confidence"] if "confidence" in found else found["score"])
    return DetectedObject(
        names[found["category_id"]],
        (x, y, x + width, y + height),
        score,
        mask_of(found, size),
        bool(found.get("keypoints")),
    )
