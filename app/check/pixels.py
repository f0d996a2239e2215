"""`--deep`: every image is decoded, so that files which break off are found."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from app.check._finding import Finding, Severity, warnings_as_findings
from app.check._subject import Subject

if TYPE_CHECKING:
    from app.engine.errors import ImageError


def look(subject: Subject) -> Iterator[Finding]:
    """Images that a task could not use although their headers are right."""
    if not subject.deep:
        return
    for name, place, paths in _sets(subject):
        yield from _of_set(subject, name, place, paths)


def _sets(subject: Subject) -> Iterator[tuple[str, str, list[Path]]]:
    if subject.trains:
        for image_set in subject.sets:
            paths = [record.path for record in image_set.records]
            yield f"{image_set.name} set", image_set.place, paths
        return
    from executor.candidates import Candidates

    index = subject.env.input.candidate_index_file
    with warnings_as_findings():  # what is odd about the index is told by another check
        yield "candidates", str(index), [asset.image for asset in Candidates(index)]


def _of_set(subject: Subject, name: str, place: str, paths: list[Path]) -> Iterator[Finding]:
    from common.host_limits import cpu_count

    wrong = []
    with ThreadPoolExecutor(cpu_count()) as threads:
        for number, error in enumerate(threads.map(_error_of, paths), start=1):
            subject.progress(number / len(paths), f"decoding the {name}")
            if error is not None:
                wrong.append(error)
    if wrong:
        yield Finding(
            Severity.WARNING,
            f"{name}: {len(wrong)} of {len(paths)} images cannot be decoded, for example"
            f" {'; '.join(map(str, wrong[:3]))}",
            place=str(wrong[0]).partition(": ")[0],
            remedy=f"copy them again, or take them out of {place}",
        )


def _error_of(path: Path) -> "ImageError | None":
    from app.engine.data.images.reading import read_image
    from app.engine.errors import ImageError

    try:
        read_image(path)
    except ImageError as error:
        return error
    return None
