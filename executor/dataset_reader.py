"""Index files: one image a line, with its annotation file after a TAB where there is one.

Paths may hold spaces and any other character; bytes that are not UTF-8 survive the round trip.
Results name images as the index does, even where `index_paths` reads an odd path differently.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from executor.engine_words import ANNOTATIONS
from executor.errors import DatasetError
from executor.index_lines import index_lines
from executor.index_paths import file_of, is_there, split_in_two, where_it_ends
from executor.index_remarks import Remarks

logger = logging.getLogger(__name__)

_NUM_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Asset:
    """An image of an index, and its annotation file.

    image_text       the image's path exactly as in the index; results must use the same text
    annotation_text  the annotation's path likewise; None if the line has no second column
    folder           folder of the index, where relative paths may start
    """

    image_text: str
    annotation_text: str | None = None
    folder: Path | None = field(default=None, compare=False)

    @property
    def image(self) -> Path:
        """Path of the image."""
        return file_of(self.image_text, self.folder)[0]

    @property
    def annotation(self) -> Path | None:
        """Path of the annotation file, if any."""
        if self.annotation_text is None:
            return None
        return file_of(self.annotation_text, self.folder)[0]


def read_training_index(path: Path | None) -> list[Asset]:
    """Return the images to train on; DatasetError if there are none or none has an annotation."""
    if path is None:
        raise DatasetError("env.yaml: training_index_file is not set; nothing to train on")
    assets = list(iter_index(path))
    if not assets:
        raise DatasetError(
            f"{path}: the training index is empty; choose a training set with images, and an"
            f" export_format that this image reads ({', '.join(ANNOTATIONS)})"
        )
    assets = _with_other_separators(path, assets)
    if all(asset.annotation_text is None for asset in assets):
        raise DatasetError(
            f"{path}: no line names an annotation file, the first says {assets[0].image_text!r};"
            " write the image's path, a TAB, and the annotation's path"
        )
    _report_missing_annotations(path, assets)
    return assets


def read_val_index(path: Path | None) -> list[Asset]:
    """Return the images to validate on; none if the index is unset or does not exist."""
    if path is None or not path.exists():
        logger.warning(
            "no validation index: models cannot be compared by AP; list some labelled images in it"
        )
        return []
    assets = list(iter_index(path))
    if not assets:
        logger.warning(
            "%s: the validation index is empty, so models cannot be compared by AP; list some"
            " labelled images in it",
            path,
        )
    assets = _with_other_separators(path, assets)
    _report_missing_annotations(path, assets)
    return assets


def require_files(path: Path | None, assets: Sequence[Asset]) -> None:
    """Raise DatasetError if no image or no annotation of an index exists; it names an example.

    Only a few files are checked here: single missing files are counted when all are read.
    """
    annotated = [asset for asset in assets if asset.annotation_text is not None]
    step = -(-len(annotated) // _NUM_LOOKED_AT) or 1
    sample = annotated[::step]
    for what, files in (
        ("image", [asset.image for asset in sample]),
        ("annotation", [file for asset in sample if (file := asset.annotation) is not None]),
    ):
        if files and not any(map(is_there, files)):
            raise DatasetError(
                f"{path}: none of the {what}s is there, such as {str(files[0])!r}:"
                f" {where_it_ends(files[0])}; mount it, or write the paths as they are where this"
                " program runs (in a container usually below /in)"
            )


def iter_index(path: Path) -> Iterator[Asset]:
    """Assets of an index file, each image once; DatasetError if it cannot be read."""
    seen: set[str] = set()
    folder, remarks = path.parent, Remarks(path)
    for _, (image, annotation) in index_lines(path, remarks=remarks):
        if image in seen:
            remarks.num_duplicates += 1
            continue
        seen.add(image)
        remarks.look_at(image, annotation)
        yield Asset(image, annotation, folder)
    remarks.report()


def _with_other_separators(path: Path, assets: list[Asset]) -> list[Asset]:
    """Split lines in which blanks, commas or the like stand for the TAB; log their number."""
    found: dict[int, Asset] = {}
    for number, asset in enumerate(assets):
        if asset.annotation_text is None:
            both = split_in_two(asset.image_text, asset.folder)
            if both is not None:
                found[number] = replace(asset, image_text=both[0], annotation_text=both[1])
    if found:
        example = assets[next(iter(found))].image_text
        logger.warning(
            "%s: %d of %d lines have something else in place of the TAB between image and"
            " annotation, such as %r, and are read so that both files exist; write one TAB there",
            path,
            len(found),
            len(assets),
            example,
        )
    return [found.get(number, asset) for number, asset in enumerate(assets)]


def _report_missing_annotations(path: Path, assets: list[Asset]) -> None:
    missing = [asset.image_text for asset in assets if asset.annotation_text is None]
    if missing:
        logger.warning(
            "%s: %d of %d images have no annotation file and are left out, such as %s; write"
            " the annotation's path behind a TAB",
            path,
            len(missing),
            len(assets),
            missing[0],
        )
