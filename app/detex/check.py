"""`detex check`: what is wrong with a task's folder; each finding has its place and a remedy."""

import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import typer

from app.check import ENDING, Finding, ImageSet, Severity, Subject, examine
from app.detex.task_folders import mount_input, refusal_of_input
from app.places import CONFIG_ROOT
from common.text import printable

STRICT_STATUS = 1
"""Status for warnings under `--strict` (docs/contract.md)."""


def report(input_dir: Path, *, deep: bool, measure: bool, strict: bool, as_json: bool) -> int:
    """Print all findings; return the status of a task because of the first error, or 0 (1)."""
    wrong = refusal_of_input("IN", input_dir) or _what_it_is_instead(input_dir)
    if wrong:
        typer.echo(f"detex: {wrong}", err=True)
        return 2
    guessed = _assumed_task(input_dir)
    env_file = mount_input(input_dir, guessed)
    # As in a task: relative paths do not depend on the current folder.
    os.chdir(CONFIG_ROOT)
    subject = Subject(
        env_file,
        deep=deep,
        measure=measure,
        progress=_show_progress if sys.stderr.isatty() else _no_progress,
    )
    found = []
    for finding in examine(subject):
        found.append(finding)
        _print(finding, as_json=as_json)
    status = _status(found, strict=strict)
    _print_end(subject, found, status, guessed, as_json=as_json)
    return status


def _what_it_is_instead(input_dir: Path) -> str | None:
    """Return one sentence about a folder without any of a task's files."""
    files = ("env.yaml", "config.yaml", "train-index.tsv", "val-index.tsv", "candidate-index.tsv")
    if any((input_dir / name).exists() for name in files):
        return None
    if (input_dir / "in").is_dir():
        return f"{input_dir} is no task's folder; did you mean {input_dir / 'in'}?"
    return (
        f"{input_dir} is no task's folder, since it has neither config.yaml nor an index; if it"
        f" holds photographs or labels of another tool, `detex prepare {input_dir} OUT` makes one"
    )


def _assumed_task(input_dir: Path) -> str:
    """Return the task that is assumed where env.yaml is missing; '' if it is there."""
    if (input_dir / "env.yaml").exists():
        return ""
    is_training = (input_dir / "train-index.tsv").exists()
    has_candidates = (input_dir / "candidate-index.tsv").exists()
    return "infer" if has_candidates and not is_training else "training"


def _status(found: list[Finding], *, strict: bool) -> int:
    """Return the status of a task with these findings."""
    errors = [finding.status for finding in found if finding.status]
    if errors:
        return errors[0]
    has_warnings = any(finding.severity is Severity.WARNING for finding in found)
    return STRICT_STATUS if strict and has_warnings else 0


def _print(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        _print_json({"event": "finding", **asdict(finding)})
        return
    place = f"{finding.place}: " if finding.place else ""
    typer.echo(printable(f"{finding.severity}: {place}{finding.sentence}"))
    if finding.remedy:
        typer.echo(printable(f"    -> {finding.remedy}"))


def _print_end(
    subject: Subject, found: list[Finding], status: int, guessed: str, *, as_json: bool
) -> None:
    counts = Counter(finding.severity for finding in found)
    unseen = _unseen(found)
    sets = [] if unseen or not subject.trains else subject.sets
    if as_json:
        numbers = {f"{severity}s": counts[severity] for severity in Severity}
        accounts = [_account(image_set) for image_set in sets]
        told = {"sets": accounts, "remarks": subject.remarks}
        _print_json({"event": "result", "status": status, **numbers, **told})
        return
    if guessed:
        typer.echo(f"there is no env.yaml: checked as the folder of `{guessed}`")
    for line in [*subject.remarks, *map(_account_line, sets)]:
        typer.echo(printable(line))
    said = [f"{counts[s]} {s}{'s' if counts[s] != 1 else ''}" for s in Severity if counts[s]]
    typer.echo(f"{', '.join(said) or 'nothing is wrong'}{unseen}")


def _unseen(found: list[Finding]) -> str:
    """What was not looked at because of wrong settings, as the end of a sentence, or ''."""
    ended = [each.check for each in found if each.status == 2 and each.check in ENDING]
    if not ended:
        return ""
    what = "model and data were" if ended[0] == "settings" else "the data were"
    return f"; correct the settings first: {what} not looked at"


def _account(image_set: ImageSet) -> dict[str, object]:
    """The numbers of one set."""
    if image_set.parsed is None:
        return {"set": image_set.name, "images": 0}
    from app.engine.data.datasets.filters import count_classes
    from app.engine.data.problems import Effect

    reading = image_set.parsed.reading
    counts = map(int, count_classes(image_set.records, len(reading.class_names)))
    return {
        "set": image_set.name,
        "images": image_set.parsed.num_listed,
        "usable": len(image_set.records),
        "objects": dict(zip(reading.class_names, counts, strict=True)),
        "dropped": reading.problems.with_effect(Effect.DROPPED),
    }


def _account_line(image_set: ImageSet) -> str:
    numbers = _account(image_set)
    objects, dropped = numbers.get("objects", {}), numbers.get("dropped", {})
    assert isinstance(objects, dict)
    assert isinstance(dropped, dict)
    if not objects:
        return f"{image_set.name}: no images"
    shown = ", ".join(f"{name} {count}" for name, count in list(objects.items())[:10])
    shown += ", ..." if len(objects) > 10 else ""
    reasons = "".join(f", {count} x {kind}" for kind, count in dropped.items())
    return (
        f"{image_set.name}: {numbers['usable']} of {numbers['images']} images,"
        f" {sum(objects.values())} objects ({shown}){reasons}"
    )


def _print_json(content: dict[str, object]) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False))


def _show_progress(fraction: float, what: str) -> None:
    end = "\n" if fraction >= 1.0 else ""
    sys.stderr.write(f"\r{what}: {fraction:4.0%}{end}")
    sys.stderr.flush()


def _no_progress(fraction: float, what: str) -> None:
    """Without a terminal nothing is shown."""
