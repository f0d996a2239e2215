"""Index files: what they name is not there, or is named in an odd way."""

from collections.abc import Iterator

from app.check._finding import Finding
from app.check._subject import Subject


def look(subject: Subject) -> Iterator[Finding]:
    """What was found while the index files were read."""
    for image_set in subject.sets:
        yield from image_set.findings
