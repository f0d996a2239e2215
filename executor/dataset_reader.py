"""Index files: one image a line, with its annotation file after a TAB where there is one.

Paths may hold spaces and any other character; bytes that are not UTF-8 survive the round trip.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from executor.errors import DatasetError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asset:
    """An image of an index, and its annotation file.

    image_text       the image's path exactly as the index has it; results must name it so
    annotation_text  likewise; None if the line has no second column
    """

    image_text: str
    annotation_text: str | None = None

    @property
    def image(self) -> Path:
        """Path of the image."""
        return Path(self.image_text)

    @property
    def annotation(self) -> Path | None:
        """Path of the annotation file, if any."""
        return None if self.annotation_text is None else Path(self.annotation_text)

    @property
    def pair(self) -> tuple[Path, Path | None]:
        """Both paths."""
        return self.image, self.annotation


def read_training_index(path: Path | None) -> list[Asset]:
    """The images to train on; DatasetError if there is none."""
    if path is None:
        raise DatasetError("env.yaml: training_index_file is not set; nothing to train on")
    assets = list(iter_index(path))
    if not assets:
        raise DatasetError(
            f"{path}: the training index is empty; choose a training set with images, and an"
            " export_format that this image reads (ark:raw, voc:raw, coco:raw, seg-coco:raw)"
        )
    _report_missing_annotations(path, assets)
    return assets


def read_val_index(path: Path | None) -> list[Asset]:
    """The images to validate on; none if the index is unset or not there."""
    if path is None or not path.exists():
        logger.warning("no validation index: models cannot be compared by AP")
        return []
    assets = list(iter_index(path))
    if not assets:
        logger.warning("%s: the validation index is empty; models cannot be compared by AP", path)
    _report_missing_annotations(path, assets)
    return assets


def read_candidates(path: Path | None) -> list[Asset]:
    """All candidates; see `iter_candidates`."""
    return list(iter_candidates(path))


def iter_candidates(path: Path | None) -> Iterator[Asset]:
    """The images to mine or to infer, as they come; none if the index is empty."""
    if path is None:
        raise DatasetError("env.yaml: candidate_index_file is not set; nothing to work on")
    yield from iter_index(path)


def iter_index(path: Path) -> Iterator[Asset]:
    """Assets of an index file, each image once; DatasetError if it cannot be read."""
    seen: set[str] = set()
    num_duplicates = 0
    for line in _lines(path):
        image, *rest = line.split("\t")
        if not image.strip():
            continue
        if image in seen:
            num_duplicates += 1
            continue
        seen.add(image)
        yield Asset(image, rest[0] if rest and rest[0].strip() else None)
    if num_duplicates:
        logger.warning("%s: %d repeated images are taken once", path, num_duplicates)


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            for line in stream:
                yield line.removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise DatasetError(
            f"{path}: the index cannot be read ({error.strerror}); check what is mounted as input"
        ) from error


def _report_missing_annotations(path: Path, assets: list[Asset]) -> None:
    missing = [asset.image_text for asset in assets if asset.annotation_text is None]
    if missing:
        logger.warning(
            "%s: %d of %d images come without an annotation file, such as %s",
            path,
            len(missing),
            len(assets),
            missing[0],
        )
