"""Renumber the classes of a data set by name, so that they are numbered as a model numbers them.

Files of one project then fit each other, even if their ids and the order of their classes differ.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from app.engine.data.datasets.dataset import Dataset
from app.engine.data.problems import Problems
from app.engine.errors import DatasetError
from app.engine.structures.class_names import match_names
from app.engine.structures.record import ImageRecord

logger = logging.getLogger(__name__)

_UNKNOWN = -1
_SHOWN = 8

Table = npt.NDArray[np.int64]
"""Number in the data set -> number in the model; -1 for none."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a model's classes, in the order of its outputs; empty if not known.

    stuff  classes of the label map, by value
    """

    classes: Sequence[str] = ()
    keypoints: Sequence[str] = ()
    stuff: Sequence[str] = ()


def names_of(dataset: Dataset) -> Names:
    """The names of a model that is trained on `dataset`."""
    return Names(dataset.class_names, dataset.keypoint_names, dataset.stuff_names)


def renumbered(
    dataset: Dataset, names: Names, *, title: str, whose: str = "the model", strict: bool = False
) -> Dataset:
    """Return `dataset` with classes numbered by their place in `names`; its records are changed.

    Leaves out objects of other classes and logs their number, and the classes that are missing.
    Keypoints and label maps must have the same names in any order.

    title   name of the set in messages
    whose   owner of `names` in messages
    strict  whether the classes must have the same names, too

    Raises DatasetError if the names do not fit.
    """
    if names.keypoints and dataset.keypoint_names:
        dataset = _with_keypoints(dataset, names.keypoints, title, whose)
    if names.stuff and dataset.stuff_names:
        dataset = _with_stuff(dataset, names.stuff, title, whose)
    if names.classes and dataset.class_names:
        dataset = _with_classes(dataset, names.classes, title, whose, strict=strict)
    return dataset


def _with_classes(
    dataset: Dataset, class_names: Sequence[str], title: str, whose: str, *, strict: bool
) -> Dataset:
    if list(class_names) == dataset.class_names:
        return dataset
    table = _table(dataset.class_names, class_names, title)
    unknown = [name for name, k in zip(dataset.class_names, table, strict=True) if k < 0]
    absent = [k for k in range(len(class_names)) if k not in table]
    strict = strict or dataset.evaluation in ("panoptic", "cityscapes")
    missing = [class_names[k] for k in absent]
    if len(unknown) == len(dataset.class_names) or (strict and (unknown or absent)):
        raise _refusal("classes", title, whose, unknown, missing)
    _refuse_fixed_order(dataset, title)
    num_dropped = sum(_renumber_objects(record, table) for record in dataset.records)
    if unknown:
        logger.warning(
            "%s: %d objects of classes that are none of %s are left out (%s)",
            title,
            num_dropped,
            whose,
            _listed(unknown),
        )
    if absent:
        logger.warning("%s: it does not list %s of %s", title, _listed(missing), whose)
    logger.info("%s: classes are taken by name, in the order of %s", title, whose)
    first_of = {int(k): i for i, k in reversed(list(enumerate(table))) if k >= 0}
    return replace(
        dataset,
        class_names=list(class_names),
        category_ids=_ids(dataset.category_ids, first_of, len(class_names)),
        frequencies=[
            dataset.frequencies[first_of[k]] if k in first_of else "f"
            for k in range(len(class_names))
        ]
        if dataset.frequencies
        else [],
        absent=frozenset(absent),
    )


def _refuse_fixed_order(dataset: Dataset, title: str) -> None:
    if dataset.evaluation == "cityscapes":
        raise DatasetError(
            f"{title}: Cityscapes' rules know one order of classes only"
            f" ({_listed(dataset.class_names)}); train with that order"
        )


def _table(used: Sequence[str], asked: Sequence[str], title: str) -> Table:
    """The number of each name of `used` in `asked`; logs names that match only roughly."""
    matches = match_names(asked, used)
    problems = Problems()
    for name in used:
        if matches[name].class_id is not None and matches[name].kind:
            problems.add(matches[name].kind, matches[name].example)
    for line in problems.lines():
        logger.warning("%s: %s", title, line)
    ids = [matches[name].class_id for name in used]
    return np.array([_UNKNOWN if i is None else i for i in ids], dtype=np.int64)


def _renumber_objects(record: ImageRecord, table: Table) -> int:
    """Renumber a record's classes; return the number of objects left out for having no number."""
    classes = table[record.classes]
    kept = np.flatnonzero(classes >= 0)
    num_dropped = len(classes) - len(kept)
    record.classes = classes
    if num_dropped:
        _select(record, kept)
    for key in ("neg_classes", "not_exhaustive_classes"):
        if key in record.extra:
            numbers = [int(table[k]) for k in record.extra[key]]
            record.extra[key] = [k for k in numbers if k >= 0]
    return num_dropped


def _select(record: ImageRecord, kept: npt.NDArray[np.int64]) -> None:
    record.boxes, record.classes = record.boxes[kept], record.classes[kept]
    if record.crowd is not None:
        record.crowd = record.crowd[kept]
    if record.difficult is not None:
        record.difficult = record.difficult[kept]
    if record.segmentations is not None:
        record.segmentations = [record.segmentations[i] for i in kept]
    if record.keypoints is not None:
        record.keypoints = record.keypoints[kept]
    if "areas" in record.extra:
        record.extra["areas"] = record.extra["areas"][kept]


def _ids(category_ids: Sequence[int], first_of: dict[int, int], count: int) -> list[int]:
    """The category id of each of the model's classes; unused ids for classes the set lacks."""
    if not category_ids:
        return []
    free = max(category_ids) + 1
    return [category_ids[first_of[k]] if k in first_of else free + k for k in range(count)]


def _with_keypoints(dataset: Dataset, names: Sequence[str], title: str, whose: str) -> Dataset:
    order = _permutation(dataset.keypoint_names, names, "keypoints", title, whose)
    if order is None:
        return dataset
    for record in dataset.records:
        if record.keypoints is not None:
            record.keypoints = record.keypoints[:, np.argsort(order)]
    return replace(dataset, keypoint_names=tuple(names))


def _with_stuff(dataset: Dataset, names: Sequence[str], title: str, whose: str) -> Dataset:
    order = _permutation(dataset.stuff_names, names, "classes of label maps", title, whose)
    if order is None:
        return dataset
    _refuse_fixed_order(dataset, title)
    table = tuple(int(label) for label in order)
    for record in dataset.records:
        record.extra["sem_seg_table"] = table
    ids = dataset.stuff_ids
    if ids:
        by_label = [0, *ids]  # label 0 is all things
        if order[0] != 0:
            raise DatasetError(
                f"{title}: label 0 must be {names[0]!r} in both; prepare the label maps again"
            )
        ids = [by_label[i] for i in np.argsort(order)][1:]
    return replace(dataset, stuff_names=list(names), stuff_ids=ids)


def _permutation(
    used: Sequence[str], asked: Sequence[str], what: str, title: str, whose: str
) -> Table | None:
    """The number of each name of `used` in `asked`; None if both are the same."""
    if list(used) == list(asked):
        return None
    table = _table(used, asked, title)
    if sorted(table.tolist()) != list(range(len(asked))):
        unknown = [name for name, k in zip(used, table, strict=True) if k < 0]
        missing = [name for k, name in enumerate(asked) if k not in table]
        raise _refusal(what, title, whose, unknown, missing)
    logger.info("%s: %s are taken by name, in the order of %s", title, what, whose)
    return table


def _refusal(
    what: str, title: str, whose: str, unknown: Sequence[str], missing: Sequence[str]
) -> DatasetError:
    differences = [
        *([f"it has {_listed(unknown)}"] if unknown else []),
        *([f"it lacks {_listed(missing)}"] if missing else []),
    ]
    found = "; ".join(differences) or "one name stands twice"
    return DatasetError(
        f"{title}: its {what} are not those of {whose} ({found});"
        " rename them, or choose data and a model that fit each other"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
