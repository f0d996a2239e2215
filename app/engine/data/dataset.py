"""A data set: its records and what must be known about all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.engine.errors import DatasetError
from app.engine.structures.sample import ImageRecord

Evaluation = Literal["coco", "lvis", "voc", "cityscapes", "semantic", "panoptic"]
"""Whose definition of a good result applies."""


@dataclass(slots=True)
class Dataset:
    """Records with their classes.

    class_names     K names
    category_ids    the data set's own id of each class, for files in its format
    keypoint_names  of one object
    stuff_names     classes of `extra["sem_seg_path"]`, by value of the label map
    evaluation      which evaluator the data set's authors mean
    stuff_ids       the data set's own id of each stuff class from label 1 on (panoptic files)
    frequencies     'r', 'c' or 'f' of each class: rare, common, frequent (LVIS only)
    """

    records: list[ImageRecord]
    class_names: list[str]
    category_ids: list[int] = field(default_factory=list)
    keypoint_names: tuple[str, ...] = ()
    stuff_names: list[str] = field(default_factory=list)
    evaluation: Evaluation = "coco"
    stuff_ids: list[int] = field(default_factory=list)
    frequencies: list[str] = field(default_factory=list)


def concatenate(datasets: Sequence[Dataset], names: Sequence[str] = ()) -> Dataset:
    """All records in one data set; classes must agree. `names` mark where a record is from."""
    if not datasets:
        raise DatasetError("no data set is given; name at least one")
    first = datasets[0]
    for number, dataset in enumerate(datasets[1:], start=2):
        if dataset.class_names != first.class_names:
            raise DatasetError(
                f"data sets 1 and {number} have different classes"
                f" ({_difference(first, dataset)}); train on sets with the same class list"
            )
    for dataset, name in zip(datasets, names, strict=False):
        for record in dataset.records:
            record.extra["dataset"] = name
    return Dataset(
        [record for dataset in datasets for record in dataset.records],
        first.class_names,
        first.category_ids,
        first.keypoint_names,
        first.stuff_names,
        first.evaluation,
        first.stuff_ids,
        first.frequencies,
    )


def _difference(one: Dataset, other: Dataset) -> str:
    different = sorted(set(one.class_names) ^ set(other.class_names))
    return f"for example {different[0]!r}" if different else "in another order"
