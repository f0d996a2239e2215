"""COCO: one JSON file, at the place where CVAT and Datumaro look for it.

Masks are run-length codes, and each object has its `score`. Categories count from 1.
"""

import json
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from app.engine.data.problems import Problems
from app.exchange.detected import DetectedObject, DetectedSet
from app.exchange.targets._target import Target

FILE = "annotations/instances_default.json"

_DECIMALS = 3  # thousandths of a pixel


def write(found: DetectedSet, folder: Path, _: Problems) -> None:
    """See `Target`."""
    ids = {name: number for number, name in enumerate(found.class_names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(found.images, start=1):
        entry: dict[str, Any] = {"id": image_id, "file_name": image.name}
        if image.size is not None:
            entry |= {"height": image.size[0], "width": image.size[1]}
        images.append(entry)
        for each in image.objects:
            numbers = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": ids[each.class_name],
            }
            annotations.append(numbers | _entry(each))
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / FILE).parent.mkdir()
    (folder / FILE).write_text(json.dumps(content), encoding="utf-8")


def _entry(found: DetectedObject) -> dict[str, Any]:
    x0, y0, x1, y1 = found.box
    box_xywh = [round(value, _DECIMALS) for value in (x0, y0, x1 - x0, y1 - y0)]
    entry = {"bbox": box_xywh, "area": round(box_xywh[2] * box_xywh[3], _DECIMALS)}
    if found.mask is not None:
        entry |= {"segmentation": found.mask, "area": float(coco_mask.area(found.mask))}
    return entry | {"iscrowd": 0, "score": found.score}


TARGET = Target(
    write=write,
    numbers=True,
    needs_sizes=False,
    next_step=f"in CVAT upload {FILE} as 'COCO 1.0'",
)
