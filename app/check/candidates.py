"""Candidates of mining and infer: the index, and the header of every image that it names."""

from collections.abc import Iterator

from app.check._finding import Finding, Severity, warnings_as_findings
from app.check._subject import Subject


def look(subject: Subject) -> Iterator[Finding]:
    """Images that are missing or that no decoder knows, as the task would count them."""
    if subject.trains:
        return
    from app.engine.data.formats._records import read_headers
    from app.engine.errors import ImageError
    from app.tasks.unreadable import Unreadable
    from executor.candidates import Candidates

    index = subject.env.input.candidate_index_file
    with warnings_as_findings(str(index), remedy="repair these images, or take them out") as found:
        candidates = Candidates(index)
        unreadable = Unreadable(len(candidates))
        num_read = 0
        try:
            for header in read_headers([asset.image for asset in candidates]):
                error = header if isinstance(header, ImageError) else None
                unreadable.note(error)
                num_read += error is None
            unreadable.require_any(num_read)
        finally:
            unreadable.report()
        if not len(candidates):
            yield Finding(
                Severity.WARNING,
                "the candidate index lists no images, so the result will be empty",
                str(index),
                "write the path of an image into each line",
            )
    yield from found
