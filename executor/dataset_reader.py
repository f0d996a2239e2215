"""Index files: one image a line, with its annotation file after a TAB where there is one.

Paths may hold spaces and any other character; bytes that are not UTF-8 survive the round trip.
"""

import logging
from array import array
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from executor.errors import DatasetError
from executor.novelty import Novelty

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


def read_training_index(path: Path | None) -> list[Asset]:
    """The images to train on; DatasetError if there is none, or none has an annotation."""
    if path is None:
        raise DatasetError("env.yaml: training_index_file is not set; nothing to train on")
    assets = list(iter_index(path))
    if not assets:
        raise DatasetError(
            f"{path}: the training index is empty; choose a training set with images, and an"
            " export_format that this image reads (ark:raw, voc:raw, coco:raw, seg-coco:raw)"
        )
    if all(asset.annotation_text is None for asset in assets):
        raise DatasetError(
            f"{path}: no line names an annotation file, the first says {assets[0].image_text!r};"
            " write the image's path, a TAB, and the annotation's path"
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
    """All candidates, in memory; see `CandidateIndex`."""
    return list(CandidateIndex(path))


class CandidateIndex:
    """The images to mine or to infer, each once, in the index's order.

    Memory holds where each line starts, 8 bytes an image; the lines stay in the file.
    """

    def __init__(self, path: Path | None) -> None:
        """DatasetError if there is no index or it cannot be read; an empty one is fine."""
        if path is None:
            raise DatasetError("env.yaml: candidate_index_file is not set; nothing to work on")
        self._path = path
        self._starts = array("Q")
        novelty = Novelty(asset.image_text for _, asset in _lines(path))
        num_duplicates = 0
        for start, asset in _lines(path):
            if novelty.is_new(asset.image_text):
                self._starts.append(start)
            else:
                num_duplicates += 1
        _report_duplicates(path, num_duplicates)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Asset]:
        return self.since(0)

    def since(self, number: int) -> Iterator[Asset]:
        """The images from position `number` on."""
        starts = islice(self._starts, number, None)
        wanted = next(starts, None)
        if wanted is None:
            return
        for start, asset in _lines(self._path, wanted):
            if start == wanted:
                yield asset
                wanted = next(starts, None)

    def pick(self, numbers: Iterable[int]) -> Iterator[Asset]:
        """The images at these positions, in any order."""
        try:
            with self._path.open("rb") as stream:
                for number in numbers:
                    stream.seek(self._starts[number])
                    asset = _asset(stream.readline())
                    assert asset is not None, "the index was changed during the run"
                    yield asset
        except OSError as error:
            raise _unreadable(self._path, error) from error


def iter_index(path: Path) -> Iterator[Asset]:
    """Assets of an index file, each image once; DatasetError if it cannot be read."""
    seen: set[str] = set()
    num_duplicates = 0
    for _, asset in _lines(path):
        if asset.image_text in seen:
            num_duplicates += 1
            continue
        seen.add(asset.image_text)
        yield asset
    _report_duplicates(path, num_duplicates)


def _lines(path: Path, start: int = 0) -> Iterator[tuple[int, Asset]]:
    """Each line that names an image: at which byte it starts (from `start` on), what it says."""
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            for line in stream:
                if start == 0 and line.startswith(BOM_UTF8):
                    start, line = len(BOM_UTF8), line[len(BOM_UTF8) :]
                asset = _asset(line)
                if asset is not None:
                    yield start, asset
                start += len(line)
    except OSError as error:
        raise _unreadable(path, error) from error


def _asset(line: bytes) -> Asset | None:
    text = line.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    image, *rest = text.split("\t")
    if not image.strip():
        return None
    return Asset(image, rest[0] if rest and rest[0].strip() else None)


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"{path}: the index cannot be read ({error.strerror}); check what is mounted as input"
    )


def _report_duplicates(path: Path, count: int) -> None:
    if count:
        logger.warning("%s: %d repeated images are taken once", path, count)


def _report_missing_annotations(path: Path, assets: list[Asset]) -> None:
    missing = [asset.image_text for asset in assets if asset.annotation_text is None]
    if missing:
        logger.warning(
            "%s: %d of %d images have no annotation file and are left out, such as %s",
            path,
            len(missing),
            len(assets),
            missing[0],
        )
