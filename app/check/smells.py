"""Smells: signs that the annotations are wrong although every file can be read (docs/data.md)."""

from collections.abc import Iterator

from app.check._finding import Finding, Severity, finding_of
from app.check._subject import ImageSet, Subject
from app.engine.config.smells import SmellName
from executor.errors import DatasetError

_CONSEQUENCES = (SmellName.OUTSIDE, SmellName.CORNER, SmellName.DROPPED)
"""Smells that follow from others, which name the cause."""


def look(subject: Subject) -> Iterator[Finding]:
    """A smell with which the task would stop is an error, another a warning."""
    for image_set in subject.sets:
        found = list(_of_set(subject, image_set))
        errors = [finding for finding in found if finding.severity is Severity.ERROR]
        yield from errors or found  # what is only odd follows from what is wrong


def _of_set(subject: Subject, image_set: ImageSet) -> Iterator[Finding]:
    from app.engine.data.problems import Effect
    from app.engine.data.smells.table import SMELLS

    if image_set.parsed is None:
        return
    is_explained = bool(image_set.parsed.reading.problems.with_effect(Effect.STOPS))
    for name in sorted(SMELLS, key=_CONSEQUENCES.__contains__):  # causes first
        if name in subject.hp.smells or (name in _CONSEQUENCES and is_explained):
            continue
        smell = SMELLS[name]
        sentence = smell.sniff(image_set.parsed.scent)
        if sentence is None:
            continue
        is_explained |= smell.stops
        yield finding_of(
            f"{image_set.name} set: smell {name}: {sentence}",
            severity=Severity.ERROR if smell.stops else Severity.WARNING,
            place=image_set.place,
            remedy=f"look at the files; if they are right, set accepted_smells: {name}",
            status=DatasetError.exit_status if smell.stops else 0,
        )
