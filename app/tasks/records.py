"""An index file and its annotation files -> the engine's records."""

import logging
from collections.abc import Sequence
from pathlib import Path

from app.engine.data.formats import BROKEN_FILES, FORMATS
from app.engine.data.problems import Problems
from app.engine.errors import printable
from app.engine.structures.sample import ImageRecord
from executor.dataset_reader import Asset
from executor.errors import DatasetError

logger = logging.getLogger(__name__)

SUFFIX_FORMATS = {".txt": "ark", ".xml": "voc", ".json": "coco"}
"""What the platform calls its annotation files in each format."""


MAX_BROKEN_SHARE = 0.05
"""Of the files of a set; with more it is not the set that somebody meant to train on."""


def read_records(
    assets: Sequence[Asset], export_format: str, class_names: Sequence[str], *, name: str
) -> list[ImageRecord]:
    """Records of the images that can be used; what cannot is counted and reported once.

    `name` says which set this is in the log. An image without an annotation file is left out.
    """
    if not assets:
        return []
    problems = Problems()
    pairs = [(asset.image, asset.annotation) for asset in assets if asset.annotation is not None]
    word = format_of([annotation for _, annotation in pairs], export_format)
    records = FORMATS[word](pairs, class_names, problems)
    for line in problems.lines():
        logger.warning("%s set: %s", name, line)
    _refuse_a_broken_set(problems, len(pairs), name)
    num_objects = sum(len(record) for record in records)
    logger.info(
        "%s set: %d of %d images usable, %d objects, %d images without objects",
        name,
        len(records),
        len(assets),
        num_objects,
        sum(len(record) == 0 for record in records),
    )
    return records


def _refuse_a_broken_set(problems: Problems, num_images: int, name: str) -> None:
    """DatasetError where more than 5 % of the files (and more than one) are missing or damaged."""
    broken = {kind: n for kind, n in problems.counts.items() if kind in BROKEN_FILES}
    num_broken = sum(broken.values())
    if num_broken > max(MAX_BROKEN_SHARE * num_images, 1):
        example = printable(problems.examples(next(iter(broken)))[0])
        raise DatasetError(
            f"{name} set: {num_broken} of {num_images} images or their annotations cannot be read,"
            f" for example {example}; repair the data set or leave these images out"
        )


def format_of(annotations: Sequence[Path], export_format: str) -> str:
    """The annotation format: what the files are, where that and `export_format` disagree."""
    asked = export_format.partition(":")[0]
    found = SUFFIX_FORMATS.get(annotations[0].suffix.lower()) if annotations else None
    if found is None:
        return asked or "ark"
    if asked and FORMATS[asked] is not FORMATS[found]:
        logger.warning(
            "export_format is %s but the annotation files are %s: reading them as %s",
            export_format,
            annotations[0].suffix,
            found,
        )
    return found


def require_objects(records: Sequence[ImageRecord], class_names: Sequence[str]) -> None:
    """DatasetError unless at least one image has at least one object; warn of unused classes."""
    if not records:
        raise DatasetError(
            "training set: no image can be read; see the warnings above and check the data set"
        )
    used = {int(class_id) for record in records for class_id in record.classes}
    if not used:
        raise DatasetError(
            f"training set: none of {len(records)} images has an object of the classes "
            f"{', '.join(class_names)}; check class_names and the annotations"
        )
    missing = [name for index, name in enumerate(class_names) if index not in used]
    if missing:
        logger.warning("training set: no object of %s; such classes cannot be learnt", missing)
