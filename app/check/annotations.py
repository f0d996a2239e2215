"""Annotations and image headers: what the task would leave out, drop or correct, and why."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from app.check._finding import Finding, Severity, warnings_as_findings
from app.check._subject import ImageSet, Subject
from executor.errors import DatasetError

_TRIFLE = 0.01
"""Share of a set's objects below which a correction is not worth a finding: the summary has it."""


def look(subject: Subject) -> Iterator[Finding]:
    """One finding for each kind of problem."""
    for image_set in subject.sets:
        if image_set.parsed is not None:
            is_explained = _is_refused(subject.found, image_set)
            found = list(_of_set(image_set, is_explained=is_explained))
            yield from found
            if image_set is subject.training and not _is_refused(
                [*subject.found, *found], image_set
            ):
                yield from _unfit(subject)


def _is_refused(found: Iterable[Finding], image_set: ImageSet) -> bool:
    """Whether a finding refuses this set; what else is wrong with its objects follows from that."""
    name = f"{image_set.name} set: "
    return any(each.status and each.sentence.startswith(name) for each in found)


def _of_set(image_set: ImageSet, *, is_explained: bool) -> Iterator[Finding]:
    from app.engine.data.problems import Effect

    assert image_set.parsed is not None
    problems = image_set.parsed.reading.problems
    stopping = problems.with_effect(Effect.STOPS)
    for kind, count in stopping.items():
        yield _finding(image_set, kind, count, is_error=True)
    told = list(problems.with_effect(Effect.BROKEN, Effect.LEFT_OUT).items())
    refusal = [] if stopping else list(_refusal(image_set))
    if refusal:
        yield from refusal
        told.remove(next(iter(problems.with_effect(Effect.BROKEN).items())))  # the error names it
    if not stopping and not is_explained:
        yield from _numbering(image_set)
        told += _of_objects(image_set)
    for kind, count in told:
        yield _finding(image_set, kind, count)


def _refusal(image_set: ImageSet) -> Iterator[Finding]:
    """The error of a set in which too many images cannot be used."""
    from app.engine.data.datasets.account import require_usable

    assert image_set.parsed is not None
    with warnings_as_findings(image_set.place) as errors:
        require_usable(
            image_set.name, image_set.parsed.num_listed, image_set.parsed.reading.problems
        )
    yield from errors


def _of_objects(image_set: ImageSet) -> Iterator[tuple[str, int]]:
    """Kinds of problems of objects, and their counts."""
    from app.engine.data.problems import Effect

    assert image_set.parsed is not None
    problems = image_set.parsed.reading.problems
    num_objects = sum(map(len, image_set.records))
    num_objects += sum(problems.with_effect(Effect.DROPPED).values())
    for kind, count in problems.with_effect(Effect.DROPPED, Effect.CHANGED, Effect.TOLD).items():
        if count >= _TRIFLE * num_objects:
            yield kind, count


def _numbering(image_set: ImageSet) -> Iterator[Finding]:
    """YOLO's labels say nothing about the names of their classes: tell which are assumed."""
    parsed = image_set.parsed
    assert parsed is not None
    if (
        image_set.name == "training"
        and parsed.format == "yolo"
        and not parsed.reading.facts.class_lists
    ):
        for remark in parsed.reading.remarks:
            yield Finding(
                Severity.NOTE,
                f"{image_set.name} set: {remark}",
                image_set.place,
                "see that this is the order of classes with which the labels were written",
            )


def _finding(image_set: ImageSet, kind: str, count: int, *, is_error: bool = False) -> Finding:
    assert image_set.parsed is not None
    problems = image_set.parsed.reading.problems
    example = problems.examples(kind)[0]
    return Finding(
        Severity.ERROR if is_error else Severity.WARNING,
        f"{image_set.name} set: {count} x {kind}, for example"
        f" {'; '.join(problems.examples(kind)[:2])}",
        place=example.partition(": ")[0] if example.startswith("/") else image_set.place,
        remedy=problems.remedy(kind) or _remedy(image_set, kind),
        status=DatasetError.exit_status if is_error else 0,
    )


def _remedy(image_set: ImageSet, kind: str) -> str:
    """What to do about a kind of problem that states no remedy of its own."""
    from app.engine.data.problems import Effect
    from app.engine.structures.class_names import OTHER_CASE, OTHER_CHARACTERS, UNKNOWN_CLASS

    assert image_set.parsed is not None
    problems, names = image_set.parsed.reading.problems, image_set.parsed.reading.class_names
    near = [
        f"write {name} for {close[0]} in class_names"
        for name in problems.examples(UNKNOWN_CLASS)
        if (close := get_close_matches(name, names, n=1))
    ]
    by_kind = {
        UNKNOWN_CLASS: "add the name to class_names, or leave it out if that is meant",
        OTHER_CASE: "write it in class_names as in the files, unless it is one class",
        OTHER_CHARACTERS: "copy the name from the files into class_names",
    }
    by_effect = {
        Effect.BROKEN: "copy or repair these files, or take their lines out of the index",
        Effect.LEFT_OUT: "complete these lines of the index, or take them out",
        Effect.DROPPED: "correct these objects in the annotation files",
        Effect.CHANGED: "correct the annotation files if they do not mean that",
        Effect.TOLD: "look at the files; docs/data.md says how they are read",
    }
    if kind == UNKNOWN_CLASS and near:
        return f"{near[0]}, or {by_kind[kind]}"
    return by_kind.get(kind) or by_effect[problems.effect(kind)]


def _unfit(subject: Subject) -> Iterator[Finding]:
    """The error of a training set without objects, or without those of the model's kind."""
    from app.tasks.records import require_objects
    from app.tasks.train import check_annotations

    with warnings_as_findings(subject.training.place) as found:
        require_objects(subject.training.records, subject.hp.class_names)
        check_annotations(subject.cfg, subject.training.records)
    yield from (finding for finding in found if finding.severity is Severity.ERROR)
