"""Cityscapes folders (leftImg8bit, gtFine): instances from instanceIds, classes from labelTrainIds.

The polygons overlap and would have to be cut against each other. Masks are therefore read from the
instance maps, which were drawn from the polygons, and kept as run-length codes.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from app.engine.data.datasets.coco import empty_record
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.formats._coco_masks import mask_box
from app.engine.data.formats._records import ParsedObject, record_of
from app.engine.data.images.headers import image_size
from app.engine.data.images.reading import read_labels
from app.engine.errors import DatasetError
from app.engine.structures.record import ImageRecord

CLASSES = {
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""Label id -> class with instances."""

STUFF = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""Classes by train id."""

VOID = (-1, 0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
"""Label ids that no benchmark evaluates."""

GROUP_LIMIT = 1000
"""Smaller instance ids are label ids: of regions, or of groups of objects without own ids."""

_IMAGE_SUFFIX = "_leftImg8bit.png"
_THREADS = 8


def load_cityscapes_instances(image_dir: Path, label_dir: Path) -> Dataset:
    """Read instances of eight classes, groups as crowds. Reads every instance map once."""
    pairs = list(_pairs(image_dir, label_dir, "_gtFine_instanceIds.png"))
    with ThreadPoolExecutor(_THREADS) as threads:
        records = list(threads.map(lambda pair: _instances(*pair), pairs))
    return Dataset(records, list(CLASSES.values()), list(CLASSES), evaluation="cityscapes")


def load_cityscapes_semantic(image_dir: Path, label_dir: Path) -> Dataset:
    """Read label maps of train ids (made by the data set's own script); ignored pixels are 255.

    If there are instance maps, too, the evaluation uses them to weight objects.
    """
    records = []
    for image, labels in _pairs(image_dir, label_dir, "_gtFine_labelTrainIds.png"):
        record = empty_record(image, image_size(image), image.name)
        record.extra["sem_seg_path"] = labels
        instances = labels.with_name(labels.name.replace("labelTrainIds", "instanceIds"))
        if instances.is_file():
            record.extra["instance_ids_path"] = instances
        records.append(record)
    return Dataset(records, [], stuff_names=list(STUFF), evaluation="cityscapes")


def _pairs(image_dir: Path, label_dir: Path, suffix: str) -> Iterator[tuple[Path, Path]]:
    images = sorted(image_dir.glob(f"*/*{_IMAGE_SUFFIX}"))
    if not images:
        raise DatasetError(f"{image_dir}: no *{_IMAGE_SUFFIX} in its city folders; check the path")
    for image in images:
        labels = label_dir / image.parent.name / (image.name.removesuffix(_IMAGE_SUFFIX) + suffix)
        if not labels.is_file():
            raise DatasetError(f"{labels}: missing; unpack or generate the gtFine label files")
        yield image, labels


def _instances(image: Path, labels: Path) -> ImageRecord:
    ids = read_labels(labels)
    class_of = {label_id: i for i, label_id in enumerate(CLASSES)}
    objects = []
    for instance in np.unique(ids).tolist():
        label_id = instance // GROUP_LIMIT if instance >= GROUP_LIMIT else instance
        if label_id in class_of:
            code = coco_mask.encode(np.asfortranarray(ids == instance, dtype=np.uint8))
            is_crowd = instance < GROUP_LIMIT
            objects.append(
                ParsedObject(class_of[label_id], mask_box(code), crowd=is_crowd, segmentation=code)
            )
    boxes = [parsed.box for parsed in objects]
    record = record_of(image, ids.shape, objects, boxes, image_id=image.name)
    record.extra["instance_ids_path"] = labels
    return record
