"""Images that are in a set twice, or in the training and in the validation set."""

from collections.abc import Iterator

from app.check._finding import Finding, listening
from app.check._subject import Subject


def look(subject: Subject) -> Iterator[Finding]:
    """Validation images that are training images, too, by path or by content."""
    if not subject.sets or not subject.training.records or not subject.validation.records:
        return
    from app.engine.data.smells.overlap import sniff_overlap

    remedy = "take them out of one of the two index files"
    with listening(subject.validation.place, remedy=remedy) as found:
        sniff_overlap(subject.training.records, subject.validation.records, subject.hp.smells)
    yield from found
