"""Report the images and objects of a data set that were used or left out; refuse broken sets."""

import logging
from collections.abc import Sequence

import numpy as np

from app.engine.data.datasets.filters import count_classes
from app.engine.data.formats import Reading
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.structures.record import ImageRecord
from common.text import printable

logger = logging.getLogger(__name__)

_MAX_BROKEN_SHARE = 0.05
_CLASSES_NAMED = 20


def settle(name: str, num_listed: int, records: Sequence[ImageRecord], reading: Reading) -> None:
    """Log how many images and objects of a set are used or left out; refuse a broken set.

    name        "training", "validation", or the name of a data set
    num_listed  number of images in the index or annotation file

    Raises DatasetError if a problem makes the whole set unusable, or if more than 5 % of its images
    (and more than one) are missing, damaged or of another size than annotated.
    """
    for line in reading.remarks:
        logger.info("%s set: %s", name, printable(line))
    for line in reading.problems.lines():
        logger.warning("%s set: %s", name, line)
    for line in table(num_listed, records, reading):
        logger.info("%s set: %s", name, line)
    require_usable(name, num_listed, reading.problems)


def require_usable(name: str, num_listed: int, problems: Problems) -> None:
    """Raise DatasetError if the set `name` is broken; see `settle`."""
    refuse_what_stops(problems, name)
    _refuse_a_broken_set(problems, num_listed, name)


def table(num_listed: int, records: Sequence[ImageRecord], reading: Reading) -> list[str]:
    """One line for each count, as the log shows them."""
    rows: list[tuple[str, int | str]] = [*counts(num_listed, records, reading)]
    rows.append(("objects of each class", _per_class(records, reading.class_names)))
    if missing := missing_classes(records, reading.class_names):
        rows.append(("classes without objects", ", ".join(missing)))
    width = max(len(label) for label, _ in rows)
    return [f"{printable(label):<{width}}  {printable(str(value))}" for label, value in rows]


def counts(
    num_listed: int, records: Sequence[ImageRecord], reading: Reading
) -> list[tuple[str, int]]:
    """Label and number of images, objects, and those left out by reason."""
    problems = reading.problems
    left_out = problems.with_effect(Effect.BROKEN, Effect.LEFT_OUT, Effect.STOPS)
    dropped = problems.with_effect(Effect.DROPPED)
    num_kept = sum(len(record) for record in records)
    num_crowds = sum(int(record.crowd.sum()) for record in records if record.crowd is not None)
    rows = [
        ("images listed", num_listed),
        *((f"images left out: {kind}", count) for kind, count in left_out.items()),
        ("images usable", len(records)),
        ("images usable, without objects", sum(len(record) == 0 for record in records)),
        ("objects in the files", num_kept + sum(dropped.values())),
        *((f"objects dropped: {kind}", count) for kind, count in dropped.items()),
        ("objects kept", num_kept),
    ]
    if num_crowds:
        rows.append(("objects kept that are crowds, not learnt from", num_crowds))
    return rows


def missing_classes(records: Sequence[ImageRecord], class_names: Sequence[str]) -> list[str]:
    """Names of the classes without any object to learn from (crowds do not count)."""
    counts = count_classes(records, len(class_names))
    return [name for name, count in zip(class_names, counts, strict=True) if not count]


def too_many_broken(num_broken: int, num_images: int) -> bool:
    """Whether more than 5 % of the images, and more than one, are broken."""
    return num_broken > max(_MAX_BROKEN_SHARE * num_images, 1)


def _per_class(records: Sequence[ImageRecord], class_names: Sequence[str]) -> str:
    counts = count_classes(records, len(class_names))
    found = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
    shown = [f"{class_names[k]} {counts[k]}" for k in found[:_CLASSES_NAMED]]
    if len(found) > _CLASSES_NAMED:
        shown.append(f"and {len(found) - _CLASSES_NAMED} more")
    return ", ".join(shown) or "none"


def refuse_what_stops(problems: Problems, name: str) -> None:
    """Raise DatasetError for the most frequent problem that makes the whole set unusable."""
    for kind, count in problems.with_effect(Effect.STOPS).items():
        raise DatasetError(f"{name} set: {count} x {problems.told(kind)}")


def _refuse_a_broken_set(problems: Problems, num_listed: int, name: str) -> None:
    """Raise DatasetError if more than 5 % of the images (and more than one) cannot be used."""
    broken = problems.with_effect(Effect.BROKEN)
    num_broken = sum(broken.values())
    if too_many_broken(num_broken, num_listed):
        raise DatasetError(
            f"{name} set: {num_broken} of {num_listed} images or their annotations cannot be read"
            f" rightly, most of them: {problems.told(next(iter(broken)))};"
            " repair the data set or leave these images out"
        )
