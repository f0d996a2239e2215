"""Smells: signs that the annotations are wrong although every file can be read (docs/data.md)."""

from collections.abc import Iterator

from app.check._finding import Finding, Severity, finding_of
from app.check._subject import Subject
from executor.errors import DatasetError


def look(subject: Subject) -> Iterator[Finding]:
    """A smell with which the task would stop is an error, another a warning."""
    from app.engine.data.smells.table import SMELLS

    for image_set in subject.sets:
        if image_set.parsed is None:
            continue
        for name, smell in SMELLS.items():
            sentence = smell.sniff(image_set.parsed.scent)
            if sentence is None or name in subject.hp.smells:
                continue
            yield finding_of(
                f"{image_set.name} set: smell {name}: {sentence}",
                severity=Severity.ERROR if smell.stops else Severity.WARNING,
                place=image_set.place,
                remedy=f"look at the files; if they are right, set accepted_smells: {name}",
                status=DatasetError.exit_status if smell.stops else 0,
            )
