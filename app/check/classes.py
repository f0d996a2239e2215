"""Classes: without objects, with very few, or with far fewer than another."""

from collections.abc import Iterator

from app.check._finding import Finding, Severity
from app.check._subject import ImageSet, Subject

_FEW = 10
"""Objects of a class that are too few to learn it, and far too few to measure it."""
_IMBALANCE = 100
"""A class with this many times the objects of another leaves it little weight in the loss."""
_SHOWN = 5


def look(subject: Subject) -> Iterator[Finding]:
    """Findings about the numbers of objects of each class."""
    if not subject.has_objects:
        return
    learnt = _counts(subject, subject.training)
    absent = [name for name, count in learnt.items() if not count]
    if absent:
        yield Finding(
            Severity.WARNING,
            f"training set: no object of {_listed(absent)}, which cannot be learnt",
            subject.training.place,
            "label such objects, correct the name in class_names, or take it out",
        )
    rare = [f"{name} ({count})" for name, count in learnt.items() if 0 < count < _FEW]
    if rare:
        yield Finding(
            Severity.WARNING,
            f"training set: fewer than {_FEW} objects of {_listed(rare)}",
            subject.training.place,
            "label more of them, or take the class out of class_names",
        )
    yield from _imbalance(subject, learnt)
    if not any(map(len, subject.validation.records)):
        return
    measured = _counts(subject, subject.validation)
    unmeasured = [name for name, count in measured.items() if not count and learnt[name]]
    if unmeasured:
        yield Finding(
            Severity.WARNING,
            f"validation set: no object of {_listed(unmeasured)}, so AP says nothing about it",
            subject.validation.place,
            "move some images with such objects from the training to the validation index",
        )


def _imbalance(subject: Subject, counts: dict[str, int]) -> Iterator[Finding]:
    known = [name for name in counts if counts[name] >= _FEW]  # the others are told by themselves
    most, least = (choose(known or counts, key=counts.__getitem__) for choose in (max, min))
    if counts[most] > _IMBALANCE * counts[least]:
        yield Finding(
            Severity.WARNING,
            f"training set: {counts[most]} objects of {most} and {counts[least]} of {least},"
            f" {counts[most] / counts[least]:.0f} times fewer",
            subject.training.place,
            f"label more of {least}, or list its images several times under other names",
        )


def _counts(subject: Subject, image_set: ImageSet) -> dict[str, int]:
    from app.engine.data.datasets.filters import count_classes

    names = subject.hp.class_names
    return dict(zip(names, map(int, count_classes(image_set.records, len(names))), strict=True))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
