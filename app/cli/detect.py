"""`detect`: what a model finds in images, as COCO's results files with the images they speak of."""

import json
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from app.cli.arguments import Options
from app.cli.data_sets import require_test_sets
from app.cli.settings import open_config, open_model, require_weights
from app.engine.config import CfgNode, num_classes
from app.engine.data.coco_classes import COCO_CLASSES
from app.engine.data.coco_dataset import empty_record
from app.engine.data.dataset import Dataset
from app.engine.data.image import image_size, image_suffixes
from app.engine.errors import ConfigError, DatasetError, ImageError
from app.engine.evaluation.result_files import category_ids, result_files
from app.engine.files import write_atomically
from app.engine.predictor import Predictor

logger = logging.getLogger(__name__)


def run(options: Options) -> None:
    """OUTPUT/detections: results files, and `image_info.json` that says which id is which image."""
    cfg = open_config(options)
    paths = find_images(options.inputs)
    classes = classes_of(cfg, options)
    predictor = Predictor(open_model(cfg, require_weights(cfg, options)), cfg)
    directory = Path(cfg.OUTPUT_DIR) / "detections"
    writers = result_files(directory, cfg.MODEL.META_ARCHITECTURE, classes, store=None)
    images = []
    found = predictor.detect_files(paths, num_workers=cfg.DATALOADER.NUM_WORKERS)
    for number, (path, detections) in enumerate(found, start=1):
        if isinstance(detections, ImageError):
            logger.warning("%s", detections)
            continue
        height, width = detections.image_size
        images.append({"id": number, "file_name": str(path), "height": height, "width": width})
        for writer in writers:
            writer.add(empty_record(path, (height, width), number), detections)
    if not images:
        raise DatasetError(f"--input: none of {len(paths)} images can be read; see the log above")
    for writer in writers:
        writer.results()
    categories = [
        {"id": category, "name": name}
        for category, name in zip(category_ids(classes), classes.class_names, strict=True)
    ]
    write_atomically(
        directory / "image_info.json", json.dumps({"images": images, "categories": categories})
    )


def find_images(inputs: Iterable[Path]) -> list[Path]:
    """Files as given, and all images in given folders; DatasetError where there is none."""
    paths: list[Path] = []
    for path in inputs:
        if path.is_dir():
            paths += _images_in(path)
        elif path.is_file():
            paths.append(path)
        else:
            raise DatasetError(f"--input {path}: there is no such file; check the path")
    return paths


def _images_in(folder: Path) -> list[Path]:
    """Every file below whose name or content says that it is an image, by name; others counted."""
    suffixes = image_suffixes()
    images: list[Path] = []
    others: Counter[str] = Counter()
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        # Names that begin with a dot are those of programs: ._a.jpg holds no picture.
        is_named_so = path.suffix.lower() in suffixes and not path.name.startswith(".")
        if is_named_so or _is_image(path):
            images.append(path)
        else:
            others[path.suffix.lower() or "without a suffix"] += 1
    told = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    if not images:
        raise DatasetError(
            f"--input {folder}: no image in this folder"
            f"{f', only other files ({told})' if told else ''}; check the path"
        )
    if others:
        logger.warning("--input %s: left out as no images: %s", folder, told)
    return images


def _is_image(path: Path) -> bool:
    try:
        image_size(path)
    except ImageError:
        return False
    return True


def classes_of(cfg: CfgNode, options: Options) -> Dataset:
    """Classes without records: of DATASETS.TEST where `--data` or `--coco` says where it is.

    Else MODEL.CLASS_NAMES, numbered from 1; else COCO's, where config and number are COCO's.
    """
    if (options.data or options.coco) and cfg.DATASETS.TEST:
        known = next(iter(require_test_sets(cfg, options).values()))
        return Dataset(
            [],
            known.class_names,
            known.category_ids,
            stuff_names=known.stuff_names,
            stuff_ids=known.stuff_ids,
        )
    if cfg.MODEL.META_ARCHITECTURE == "PanopticFPN":
        raise ConfigError(
            "the ids of a panoptic model's categories are those of DATASETS.TEST; add --data ROOT"
        )
    names = [str(name) for name in cfg.MODEL.CLASS_NAMES]
    if names:
        return Dataset([], names)
    count = num_classes(cfg)
    of_coco = 1 if cfg.MODEL.KEYPOINT_ON else len(COCO_CLASSES)
    if count == of_coco and any("coco" in str(name) for name in cfg.DATASETS.TEST):
        return Dataset([], list(COCO_CLASSES.values())[:count], list(COCO_CLASSES)[:count])
    return Dataset([], [f"class {number}" for number in range(1, count + 1)])
