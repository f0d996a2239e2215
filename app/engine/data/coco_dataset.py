"""COCO's JSON files for users of the engine: instances, and persons with keypoints.

Sizes and boxes are taken as the file says (a wrong size is found when the image is read). What
detectron2 does with broken annotations is done here: they are left out, and counted.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.engine.data.dataset import Dataset
from app.engine.data.formats.coco import parse_segmentation
from app.engine.data.problems import Problems
from app.engine.errors import DatasetError, EngineError
from app.engine.structures.boxes import Size
from app.engine.structures.sample import ImageRecord, Segmentation

logger = logging.getLogger(__name__)

Annotation = dict[str, Any]

_MAX_COORDINATE = 1e9


def load_coco(json_path: Path, image_dir: Path) -> Dataset:
    """Instances (and keypoints, where the file has them); images and classes sorted by id."""
    with shape_errors(json_path):
        return coco_dataset(read_coco_json(json_path), json_path, image_dir)


@contextmanager
def shape_errors(json_path: Path) -> Iterator[None]:
    """Whatever a well-formed JSON file of another shape breaks becomes a DatasetError."""
    try:
        yield
    except EngineError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}".split("\n")[0]
        raise DatasetError(
            f"{json_path}: an entry is not as COCO's format says ({what}); correct the file"
        ) from error


def coco_dataset(content: dict[str, Any], json_path: Path, image_dir: Path) -> Dataset:
    """The same for a file already read, inside `shape_errors`; `json_path` is for messages."""
    categories = sorted_categories(content, json_path)
    classes = {category["id"]: i for i, category in enumerate(categories)}
    annotations = _by_image(content)
    names = _keypoint_names(categories)
    problems = Problems()
    records = [
        _record(
            image_dir / str(entry["file_name"]),
            entry,
            annotations[entry["id"]],
            classes,
            len(names),
            problems,
        )
        for entry in sorted(content["images"], key=lambda entry: entry["id"])
    ]
    problems.report(logger)
    logger.info("%d images from %s", len(records), json_path)
    return Dataset(
        records,
        [str(category["name"]) for category in categories],
        [int(category["id"]) for category in categories],
        keypoint_names=names,
    )


def read_coco_json(path: Path) -> dict[str, Any]:
    """Content of a COCO file; DatasetError where it is none."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not valid JSON ({error}); get the file again") from error
    if not isinstance(content, dict) or not isinstance(content.get("categories"), list):
        raise DatasetError(f"{path}: not a COCO file, it has no categories; check the path")
    return content


def sorted_categories(content: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Categories by id, which must differ."""
    categories = sorted(content["categories"], key=lambda category: category["id"])
    if len({category["id"] for category in categories}) < len(categories):
        raise DatasetError(f"{path}: two categories share an id; give each its own")
    return categories


def _keypoint_names(categories: list[dict[str, Any]]) -> tuple[str, ...]:
    for category in categories:
        if category.get("keypoints"):
            return tuple(str(name) for name in category["keypoints"])
    return ()


def _by_image(content: dict[str, Any]) -> dict[Any, list[Annotation]]:
    """Annotations of every image in file order. Test sets have none."""
    by_image: dict[Any, list[Annotation]] = defaultdict(list)
    ids = set()
    for annotation in content.get("annotations", []):
        by_image[annotation["image_id"]].append(annotation)
        ids.add(annotation.get("id"))
    if len(ids) < len(content.get("annotations", [])):
        # COCO's 2014 minival is known for it; results are not affected.
        logger.warning("some annotations share an id")
    return by_image


def _record(
    path: Path,
    entry: dict[str, Any],
    annotations: list[Annotation],
    classes: dict[int, int],
    num_keypoints: int,
    problems: Problems,
) -> ImageRecord:
    size = (int(entry["height"]), int(entry["width"]))
    usable = list(_usable(annotations, classes, size, problems, where=str(path)))
    record = empty_record(path, size, entry["id"])
    if not usable:
        return record
    boxes_xywh = np.array([annotation["bbox"] for annotation, _ in usable], dtype=np.float64)
    boxes_xywh[:, 2:] += boxes_xywh[:, :2]
    record.boxes = boxes_xywh.astype(np.float32)
    record.classes = np.array([classes[a["category_id"]] for a, _ in usable], dtype=np.int64)
    record.crowd = np.array([bool(a.get("iscrowd", 0)) for a, _ in usable], dtype=np.bool_)
    masks = [mask for _, mask in usable]
    record.segmentations = masks if any(mask is not None for mask in masks) else None
    if num_keypoints:
        record.keypoints = np.stack([_keypoints(a, num_keypoints) for a, _ in usable])
    if all("area" in annotation for annotation, _ in usable):
        record.extra["areas"] = np.array([a["area"] for a, _ in usable], dtype=np.float64)
    return record


def empty_record(path: Path, size: Size, image_id: int | str) -> ImageRecord:
    """An image without objects."""
    return ImageRecord(
        path=path,
        height=size[0],
        width=size[1],
        boxes=np.zeros((0, 4), dtype=np.float32),
        classes=np.zeros(0, dtype=np.int64),
        image_id=image_id,
        crowd=np.zeros(0, dtype=np.bool_),
    )


def _usable(
    annotations: list[Annotation],
    classes: dict[int, int],
    size: Size,
    problems: Problems,
    *,
    where: str,
) -> Iterator[tuple[Annotation, Segmentation | None]]:
    """Annotations of known classes with a box, and their masks."""
    for annotation in annotations:
        if annotation["category_id"] not in classes:
            problems.add("annotation of a category that the file does not list (left out)", where)
            continue
        if not _is_box(annotation.get("bbox")):
            problems.add("annotation without a box of four numbers (left out)", where)
            continue
        given = annotation.get("segmentation")
        mask = parse_segmentation(given, size) if given else None
        if given and mask is None:
            problems.add("annotation whose mask is broken (left out)", where)
            continue
        yield annotation, mask


def _is_box(value: Any) -> bool:
    """Four numbers of a size that single precision holds; others would poison the losses."""
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(v, int | float) and abs(v) < _MAX_COORDINATE for v in value)
    )


def _keypoints(annotation: Annotation, count: int) -> npt.NDArray[np.float32]:
    """(count, 3). COCO gives pixel indices; their centres are half a pixel further."""
    values = annotation.get("keypoints") or [0] * (3 * count)
    with np.errstate(over="ignore"):
        keypoints = np.array(values, dtype=np.float32).reshape(-1, 3)
    if len(keypoints) != count:
        raise ValueError(
            f"annotation {annotation.get('id')} has {len(keypoints)} keypoints,"
            f" its category {count}"
        )
    keypoints[:, :2] += 0.5
    return keypoints
