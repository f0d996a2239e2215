"""Several data sets as one."""

from collections.abc import Sequence
from dataclasses import replace

from app.engine.data.datasets.dataset import Dataset
from app.engine.data.datasets.renumber import names_of, renumbered
from app.engine.errors import DatasetError


def concatenate(datasets: Sequence[Dataset], names: Sequence[str] = ()) -> Dataset:
    """All records in one data set with the first set's evaluation; `names` mark a record's origin.

    Classes, keypoints and label maps must have the same names; the order is that of the first set.
    Raises DatasetError if the names differ.
    """
    if not datasets:
        raise DatasetError("no data set is given; name at least one")
    titles = [str(name) for name in names] or [f"data set {n + 1}" for n in range(len(datasets))]
    first, known = datasets[0], names_of(datasets[0])
    same = [first]
    for dataset, title in zip(datasets[1:], titles[1:], strict=True):
        _require_same_kinds(first, dataset, titles[0], title)
        same.append(renumbered(dataset, known, title=title, whose=titles[0], strict=True))
    for dataset, name in zip(same, names, strict=False):
        for record in dataset.records:
            record.extra["dataset"] = name
    return replace(first, records=[record for dataset in same for record in dataset.records])


def _require_same_kinds(first: Dataset, other: Dataset, first_title: str, title: str) -> None:
    """Raise DatasetError if only one of both has classes, keypoints or label maps."""
    for what, one, two in (
        ("classes", first.class_names, other.class_names),
        ("keypoints", first.keypoint_names, other.keypoint_names),
        ("label maps", first.stuff_names, other.stuff_names),
    ):
        if bool(one) != bool(two):
            have, lack = (first_title, title) if one else (title, first_title)
            raise DatasetError(
                f"{lack} has no {what}, but {have} has; train on sets of the same kind"
            )
