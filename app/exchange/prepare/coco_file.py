"""Write records as a COCO file: boxes, masks, crowds, and PASCAL's mark of difficult objects."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from app.engine.data.formats._records import ParsedObject
from app.engine.structures.record import ImageRecord, Segmentation
from app.engine.structures.size import Size
from app.exchange.sources._objects import objects_of

_DECIMALS = 3  # thousandths of a pixel


def write_coco(
    path: Path, records: Sequence[ImageRecord], names: Sequence[str], class_names: Sequence[str]
) -> None:
    """Write one file; `names` are those of the images, below the folder `assets`."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (record, name) in enumerate(zip(records, names, strict=True), start=1):
        height, width = record.size
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for found in objects_of(record):
            entry = {"id": len(annotations) + 1, "image_id": image_id}
            annotations.append(entry | _entry(found, record.size))
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": k, "name": name} for k, name in enumerate(class_names, start=1)],
    }
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _entry(found: ParsedObject, size: Size) -> dict[str, Any]:
    x0, y0, x1, y1 = found.box
    entry: dict[str, Any] = {
        "category_id": found.class_id + 1,
        "bbox": [round(value, _DECIMALS) for value in (x0, y0, x1 - x0, y1 - y0)],
        "area": round(_area(found, size), _DECIMALS),
        "iscrowd": int(found.crowd),
    }
    if found.segmentation is not None:
        entry["segmentation"] = _segmentation(found.segmentation)
    if found.difficult:
        entry["difficult"] = 1
    return entry


def _segmentation(mask: Segmentation) -> Any:
    if isinstance(mask, list):
        return [polygon.round(_DECIMALS).tolist() for polygon in mask]
    counts = mask["counts"]
    return {
        "size": list(mask["size"]),
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def _area(found: ParsedObject, size: Size) -> float:
    """The area that the source says, else the number of the mask's pixels, else that of the box."""
    mask = found.segmentation
    if not math.isnan(found.area):
        return float(found.area)
    if mask is None:
        x0, y0, x1, y1 = found.box
        return (x1 - x0) * (y1 - y0)
    codes = [mask] if isinstance(mask, dict) else coco_mask.frPyObjects([*map(list, mask)], *size)
    # A mask thinner than a pixel has no area by COCO's rule, and 0 stands for no number.
    return float(coco_mask.area(coco_mask.merge(codes))) or 1.0
