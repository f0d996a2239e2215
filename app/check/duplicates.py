"""Validation images that are training images, too, or nearly: copies, crops, the next frame."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from app.check._finding import Finding, Severity, warnings_as_findings
from app.check._subject import Subject

if TYPE_CHECKING:
    from app.engine.structures.record import ImageRecord

_SHARE, _FEWEST = 0.02, 2
"""Fewer near-duplicates hardly change AP, and similar images do occur by chance."""

_LONGEST_S = 10.0
_SECONDS_A_FILE, _SECONDS_A_PIXEL = 8e-4, 6e-9
"""Time to open a file and to decode its pixels, on two slow cores."""


def look(subject: Subject) -> Iterator[Finding]:
    """The same path or content, and near-duplicates where looking takes seconds or is asked for."""
    if not subject.sets or not subject.training.records or not subject.validation.records:
        return
    from app.engine.data.smells.overlap import sniff_overlap

    training, validation = subject.training.records, subject.validation.records
    with warnings_as_findings(subject.validation.place) as found:
        sniff_overlap(training, validation, subject.hp.smells)
    yield from found
    if found:
        return  # near-duplicates would only be more of them
    seconds = _seconds([*training, *validation])
    if seconds > _LONGEST_S and not subject.deep:
        yield Finding(
            Severity.NOTE,
            f"near-duplicates between training and validation were not looked for, which would take"
            f" about {seconds:.0f} s",
            subject.validation.place,
            "look for them with --deep",
        )
        return
    yield from _near(subject, training, validation)


def _near(
    subject: Subject, training: "Sequence[ImageRecord]", validation: "Sequence[ImageRecord]"
) -> Iterator[Finding]:
    from app.engine.data.near_duplicates import near_duplicate_pairs

    pairs = near_duplicate_pairs(
        [record.path for record in training],
        [record.path for record in validation],
        lambda fraction: subject.progress(fraction, "looking for near-duplicates"),
    ).pairs
    if len(pairs) < max(_FEWEST, _SHARE * len(validation)):
        return
    first, second = pairs[0]
    yield Finding(
        Severity.WARNING,
        f"{len(pairs)} of {len(validation)} validation images are near-duplicates of training"
        f" images, such as {validation[second].path.name} of {training[first].path.name}: AP will"
        " be higher than on images the model has never seen",
        subject.validation.place,
        "split by scene, camera or time, so that similar images are on one side; `detex prepare`"
        " keeps near-duplicates together",
    )


def _seconds(records: "Sequence[ImageRecord]") -> float:
    """About how long it takes to look at all of them."""
    pixels = sum(record.height * record.width for record in records)
    return _SECONDS_A_FILE * len(records) + _SECONDS_A_PIXEL * pixels
