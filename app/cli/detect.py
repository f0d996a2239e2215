"""`detect`: the detections of a model in images, as COCO results files."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.cli.arguments import Options
from app.cli.data_sets import require_test_sets
from app.cli.names import coco_classes, with_known_names
from app.cli.settings import open_config, open_model, require_weights
from app.engine.config import CfgNode, num_classes, results
from app.engine.data.datasets.coco import empty_record
from app.engine.data.datasets.dataset import Dataset
from app.engine.data.images.finding import find_images
from app.engine.errors import (
    ConfigError,
    DatasetError,
    DoesNotFitError,
    ImageError,
    OutOfMemoryError,
)
from app.engine.evaluation.result_files import category_ids, result_files
from app.engine.predictor import Predictor
from app.engine.trained.output_names import finds_classes, finds_stuff, model_names
from common.files import write_atomically

logger = logging.getLogger(__name__)


def run(options: Options) -> None:
    """Write OUTPUT/detections: results files, and `image_info.json` with the image of each id."""
    cfg = open_config(options)
    paths = list(find_images(options.inputs, option="--input"))
    weights = require_weights(cfg, options)
    cfg = with_known_names(cfg, weights)
    classes = classes_of(cfg, options)
    predictor = Predictor(open_model(cfg, weights), cfg)
    directory = Path(cfg.OUTPUT_DIR) / "detections"
    writers = result_files(directory, results(cfg), classes, store=None)
    images, num_too_large = [], 0
    found = predictor.detect_files(paths, num_workers=cfg.DATALOADER.NUM_WORKERS)
    for number, (path, detections) in enumerate(found, start=1):
        if isinstance(detections, ImageError):
            logger.warning("%s", detections)
            num_too_large += isinstance(detections, DoesNotFitError)
            continue
        height, width = detections.image_size
        images.append({"id": number, "file_name": str(path), "height": height, "width": width})
        for writer in writers:
            writer.add(empty_record(path, (height, width), number), detections)
    if not images and num_too_large:
        raise OutOfMemoryError(
            f"--input: memory is too small for {num_too_large} of {len(paths)} images, and the "
            "others cannot be read; lower INPUT.MIN_SIZE_TEST, or see the log above"
        )
    if not images:
        raise DatasetError(f"--input: none of {len(paths)} images can be read; see the log above")
    for writer in writers:
        writer.results()
    info = {"images": images, "categories": _categories(cfg, classes)}
    write_atomically(directory / "image_info.json", json.dumps(info))


def classes_of(cfg: CfgNode, options: Options) -> Dataset:
    """Return names and ids without records: the classes with which the model was trained.

    If the command line gives DATASETS.TEST, by `--data` or `--coco`, the ids are from that set. A
    model without names gets COCO's if config and number are COCO's, else numbers from 1.
    """
    names = model_names(cfg)
    own = Dataset(
        [],
        list(names.classes),
        list(cfg.MODEL.CATEGORY_IDS) if names.classes else [],
        tuple(names.keypoints),
        list(names.stuff),
        stuff_ids=list(cfg.MODEL.STUFF_IDS),
    )
    if (options.data or options.coco) and cfg.DATASETS.TEST:
        return _in_ids_of(next(iter(require_test_sets(cfg, options).items())))
    if finds_stuff(cfg) and not names.stuff:
        raise ConfigError(
            "the model does not name the classes of its label maps; their ids are those of"
            " DATASETS.TEST: add --data ROOT"
        )
    if names.classes or not finds_classes(cfg):
        return own
    coco = coco_classes(cfg, options)
    count = num_classes(cfg)
    own.class_names = list(coco.values()) or [f"class {k}" for k in range(1, count + 1)]
    own.category_ids = list(coco)
    return own


def _in_ids_of(known: tuple[str, Dataset]) -> Dataset:
    title, dataset = known
    if dataset.absent:
        missing = ", ".join(dataset.class_names[k] for k in sorted(dataset.absent))
        raise ConfigError(
            f"{title} has no id for {missing}, which the model finds, too; leave the data set out"
            " to write the model's own ids"
        )
    return replace(dataset, records=[])


def _categories(cfg: CfgNode, classes: Dataset) -> list[dict[str, Any]]:
    """Return the categories of the ids in the results files, in COCO's form."""
    found: list[dict[str, Any]] = []
    if classes.class_names:
        named = zip(category_ids(classes), classes.class_names, strict=True)
        found = [{"id": i, "name": n} for i, n in named]
    if classes.keypoint_names and cfg.MODEL.KEYPOINT_ON:
        found = [category | {"keypoints": list(classes.keypoint_names)} for category in found]
    if not finds_stuff(cfg):
        return found
    ids: Sequence[int] = (
        [0, *classes.stuff_ids] if classes.stuff_ids else range(len(classes.stuff_names))
    )
    stuff = zip(ids, classes.stuff_names, strict=True)
    return [
        *(category | {"isthing": 1} for category in found),
        *({"id": i, "name": n, "isthing": 0} for i, n in stuff),
    ]
