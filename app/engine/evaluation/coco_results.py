"""Detections as COCO's results file, for its evaluation server and for other programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.engine.evaluation.instances import ImageInstances
from common.files import write_atomically


def coco_results(
    images: Mapping[int | str, ImageInstances], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Return a dict for each detection: box x y width height, raw score, mask and keypoints.

    images        detections by image id, as an evaluator keeps them
    category_ids  the id of each class in the data set
    """
    results = []
    for image_id, image in images.items():
        for i, (x0, y0, x1, y1) in enumerate(image.boxes.astype(float).tolist()):
            result: dict[str, Any] = {
                "image_id": image_id,
                "category_id": category_ids[int(image.classes[i])],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "score": float(image.scores[i]),
            }
            if image.masks is not None:
                result["segmentation"] = image.masks[i]
            if image.keypoints is not None:
                # COCO's keypoints are pixel indices; the engine's are continuous, larger by 0.5.
                points = image.keypoints[i].astype(float) - [0.5, 0.5, 0.0]
                result["keypoints"] = points.ravel().tolist()
            results.append(result)
    return results


def write_coco_results(
    path: Path, images: Mapping[int | str, ImageInstances], category_ids: Sequence[int]
) -> None:
    """Write `coco_results` to a JSON file."""
    write_atomically(path, json.dumps(coco_results(images, category_ids)))
