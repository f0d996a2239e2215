"""An index file and its annotation files -> the engine's records."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.engine.data.datasets.account import missing_classes, settle
from app.engine.data.formats import FORMATS, Conventions, Decisions, Reading, looks_like_yolo
from app.engine.data.problems import Effect
from app.engine.data.smells.scent import Scent
from app.engine.data.smells.table import sniff
from app.engine.structures.record import ImageRecord
from executor.dataset_reader import Asset
from executor.errors import DatasetError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParsedSet:
    """What the files of one set say, before it is judged.

    num_listed  number of images in the index
    format      name of the annotation format
    scent       what the smells examine
    """

    num_listed: int
    format: str
    records: list[ImageRecord]
    reading: Reading
    scent: Scent


def read_records(
    assets: Sequence[Asset],
    export_format: str,
    class_names: Sequence[str],
    *,
    name: str,
    conventions: Conventions | None = None,
    decisions: Decisions | None = None,
    accepted_smells: Collection[str] = (),
) -> list[ImageRecord]:
    """Return records of the usable images: those of `read_set`."""
    return read_set(
        assets,
        export_format,
        class_names,
        name=name,
        conventions=conventions,
        decisions=decisions,
        accepted_smells=accepted_smells,
    ).records


def read_set(
    assets: Sequence[Asset],
    export_format: str,
    class_names: Sequence[str],
    *,
    name: str,
    conventions: Conventions | None = None,
    decisions: Decisions | None = None,
    accepted_smells: Collection[str] = (),
) -> ParsedSet:
    """Read a set; images and objects that are left out are counted and reported once.

    `name` is the set's name in the log. For the other arguments see `parse_records`.
    Raises DatasetError if the set is certainly wrong.
    """
    parsed = parse_records(
        assets, export_format, class_names, conventions=conventions, decisions=decisions
    )
    if not assets:
        return parsed
    settle(name, parsed.num_listed, parsed.records, parsed.reading)
    sniff(name, parsed.scent, accepted_smells, key="accepted_smells")
    return parsed


def parse_records(
    assets: Sequence[Asset],
    export_format: str,
    class_names: Sequence[str],
    *,
    conventions: Conventions | None = None,
    decisions: Decisions | None = None,
) -> ParsedSet:
    """Read the annotations and image headers of a set, and count what is wrong with them.

    `decisions` from sets that were read before apply to this set too, and its own are added. An
    image without an annotation file is skipped. Raises DatasetError for files of several formats.
    """
    reading = Reading(class_names, conventions or Conventions(), decisions or Decisions())
    pairs = [(asset.image, asset.annotation) for asset in assets if asset.annotation is not None]
    for asset in assets:
        if asset.annotation is None:
            reading.problems.add(
                "no annotation file is listed (image left out)", asset.image_text, Effect.LEFT_OUT
            )
    word = format_of([annotation for _, annotation in pairs], export_format)
    records = FORMATS[word](pairs, reading)
    form = FORMATS[word]
    scent = Scent(records, reading, is_xywh=form.is_xywh, is_centred=form.is_centred)
    return ParsedSet(len(assets), word, records, reading, scent)


def format_of(annotations: Sequence[Path], export_format: str) -> str:
    """Return the annotation format; if `export_format` contradicts the files, the files decide.

    DatasetError if the files have several formats.
    """
    asked = next((name for name, known in FORMATS.items() if export_format in known.words), None)
    found = _format_of_suffixes(annotations) or asked or "ark"
    if found == "ark" and looks_like_yolo(annotations):
        found = "yolo"
    if asked not in (None, found):
        words = FORMATS[found].words
        logger.warning(
            "export_format is %s but the annotation files are %s: reading them as %s; %s",
            export_format,
            annotations[0].suffix if found != "yolo" else "YOLO's labels",
            found,
            f"write export_format: {words[0]}" if words else "leave export_format out",
        )
    return found


def _format_of_suffixes(annotations: Sequence[Path]) -> str | None:
    """Return the format that the file names show; None if they show none."""
    by_suffix = {known.suffix: name for name, known in FORMATS.items() if known.suffix}
    files: dict[str, list[Path]] = {}
    for annotation in annotations:
        plain = annotation.name.lower().removesuffix(".gz")
        word = by_suffix.get(Path(plain).suffix)
        if word is not None:
            files.setdefault(word, []).append(annotation)
    if len(files) > 1:
        kinds = ", ".join(f"{len(paths)} {word} ({paths[0]})" for word, paths in files.items())
        raise DatasetError(
            f"the index lists annotation files of several formats: {kinds}; convert them to one"
        )
    return next(iter(files), None)


def require_objects(records: Sequence[ImageRecord], class_names: Sequence[str]) -> None:
    """Raise DatasetError unless any image has an object; warn of unused classes."""
    if not records:
        raise DatasetError(
            "training set: no image can be read; see the warnings above and check the data set"
        )
    missing = missing_classes(records, class_names)
    if len(missing) == len(class_names):
        num_crowds = sum(map(len, records))
        if num_crowds:
            raise DatasetError(
                f"training set: all {num_crowds} objects are marked as crowds (iscrowd 1), which"
                " are not learnt from; set iscrowd of single objects to 0 (CVAT marks so what was"
                " drawn with its brush)"
            )
        raise DatasetError(
            f"training set: none of {len(records)} images has an object of the classes "
            f"{', '.join(class_names)} to learn from; check class_names and the annotations"
        )
    if missing:
        logger.warning("training set: no object of %s; such classes cannot be learnt", missing)
