"""Images with more than 8 bits: whether it can be found out which stored value is white."""

from collections.abc import Iterator

from app.check._finding import Finding
from app.check._subject import Subject


def look(subject: Subject) -> Iterator[Finding]:
    """What the task says when it decides the depth of the training images."""
    if not subject.sets or not subject.training.records:
        return
    from app.engine.data.images.depth_of_set import with_depth

    with_depth(subject.cfg, (record.path for record in subject.training.records))
    yield from ()
