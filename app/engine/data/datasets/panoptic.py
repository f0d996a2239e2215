"""COCO panoptic with the label maps that Panoptic FPN is trained on."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.engine.data.datasets.coco import empty_record, load_coco, shape_errors
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.formats._coco_file import Key, id_key, read_categories, read_content
from app.engine.data.images.reading import read_image
from app.engine.data.transforms.geometric import LABEL_PADDING
from app.engine.errors import DatasetError

logger = logging.getLogger(__name__)


def load_panoptic(
    instances_json: Path,
    image_dir: Path,
    *,
    panoptic_json: Path,
    panoptic_dir: Path,
    semantic_dir: Path,
) -> Dataset:
    """Read instances from one file and stuff from label maps.

    semantic_dir  label maps of `write_semantic`: 0 for all things, then stuff; they are made if
                  there is no such folder
    """
    dataset = load_coco(instances_json, image_dir, is_published=True)
    if not semantic_dir.is_dir():
        _make_semantic(panoptic_json, panoptic_dir, semantic_dir)
    with shape_errors(panoptic_json):
        _add_segments(dataset, instances_json, panoptic_json, panoptic_dir, semantic_dir)
    return dataset


def _add_segments(
    dataset: Dataset,
    instances_json: Path,
    panoptic_json: Path,
    panoptic_dir: Path,
    semantic_dir: Path,
) -> None:
    content = read_content(panoptic_json)
    segments = {id_key(entry["image_id"]): entry for entry in content["annotations"]}
    for record in dataset.records:
        entry = segments.get(id_key(record.image_id))
        if entry is None:
            raise DatasetError(
                f"{panoptic_json}: no panoptic annotation of image {record.image_id}, which"
                f" {instances_json} lists; use two files of the same images"
            )
        record.extra["pan_seg_path"] = panoptic_dir / entry["file_name"]
        record.extra["segments_info"] = entry["segments_info"]
        record.extra["sem_seg_path"] = semantic_dir / f"{record.path.stem}.png"
    categories = read_categories(content["categories"], panoptic_json)
    stuff = [c for c in categories if not c.entry.get("isthing", 1)]
    dataset.stuff_names = ["things", *(str(category.name) for category in stuff)]
    dataset.stuff_ids = [int(category.key) for category in stuff]
    dataset.evaluation = "panoptic"


def stuff_only(dataset: Dataset) -> Dataset:
    """Return the data set without instances, with label maps only, for a semantic model."""
    records = []
    for record in dataset.records:
        bare = empty_record(record.path, record.size, record.image_id)
        bare.extra["sem_seg_path"] = record.extra["sem_seg_path"]
        records.append(bare)
    return Dataset(
        records,
        [],
        stuff_names=dataset.stuff_names,
        evaluation="semantic",
        stuff_ids=dataset.stuff_ids,
    )


def _make_semantic(panoptic_json: Path, panoptic_dir: Path, semantic_dir: Path) -> None:
    logger.info("making the label maps of %s", semantic_dir)
    part = semantic_dir.with_name(f".{semantic_dir.name}.part")
    try:
        with shape_errors(panoptic_json):
            write_semantic(panoptic_json, panoptic_dir, part)
        part.rename(semantic_dir)
    except OSError as error:
        raise DatasetError(
            f"{semantic_dir}: there is no such folder of label maps and it cannot be made"
            f" ({error.strerror}); make it where the data set can be written"
        ) from error


def write_semantic(panoptic_json: Path, panoptic_dir: Path, semantic_dir: Path) -> None:
    """Write label maps from panoptic maps: things 0, stuff 1, 2, ... by category id, void 255."""
    content = read_content(panoptic_json)
    label_of: dict[Key | None, int] = {}
    for category in read_categories(content["categories"], panoptic_json):
        is_stuff = not category.entry.get("isthing", 1)
        label_of[category.key] = max(label_of.values(), default=0) + 1 if is_stuff else 0
    semantic_dir.mkdir(parents=True, exist_ok=True)
    for entry in content["annotations"]:
        segments = read_segments(panoptic_dir / entry["file_name"])
        labels = np.full(segments.shape, LABEL_PADDING, dtype=np.uint8)
        for segment in entry["segments_info"]:
            labels[segments == segment["id"]] = label_of[id_key(segment["category_id"])]
        Image.fromarray(labels).save(semantic_dir / f"{Path(entry['file_name']).stem}.png")


def read_segments(path: Path) -> npt.NDArray[np.int64]:
    """Read the segment ids of COCO's panoptic PNG, red + 256 green + 65536 blue: (H, W)."""
    pixels = read_image(path, "RGB").astype(np.int64)
    segments: npt.NDArray[np.int64] = pixels @ np.array([1, 256, 256 * 256])
    return segments
