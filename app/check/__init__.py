"""The checks of `detex check`: what is wrong with a task's folder, before anything is trained.

Each file without `_` is one check: `look(subject)` yields its findings. It is imported only when
its turn comes, because the check of the settings must not wait for torch. The checks ask the
task's own code; nothing is read here in another way than a task reads it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module

from app.check._finding import Finding, Severity, warnings_as_findings
from app.check._subject import ImageSet, Subject
from executor.errors import ConfigError

__all__ = ["CHECKS", "ENDING", "Finding", "ImageSet", "Look", "Severity", "Subject", "examine"]

Look = Callable[[Subject], Iterator[Finding]]


def _on_use(name: str) -> Look:
    def look(subject: Subject) -> Iterator[Finding]:
        yield from import_module(f"{__name__}.{name}").look(subject)

    return look


CHECKS: dict[str, Look] = {
    "settings": _on_use("settings"),
    "model": _on_use("model"),
    "index": _on_use("index"),
    "smells": _on_use("smells"),
    "annotations": _on_use("annotations"),
    "depth": _on_use("depth"),
    "candidates": _on_use("candidates"),
    "classes": _on_use("classes"),
    "box_sizes": _on_use("box_sizes"),
    "duplicates": _on_use("duplicates"),
    "passes": _on_use("passes"),
    "pixels": _on_use("pixels"),
    "speed": _on_use("speed"),
}
"""Every check in the order in which a task would meet the fault, so that the first error has the
status with which the task would end. Add a line for a new check."""

ENDING = ("settings", "model")
"""Checks without which nothing else can be judged, if they find wrong settings."""


def examine(subject: Subject) -> Iterator[Finding]:
    """Yield the findings of all checks; see `ENDING`."""
    for name, look in CHECKS.items():
        is_wrong = False
        for finding in _found(look, subject):
            subject.found.append(replace(finding, check=name))
            yield subject.found[-1]
            is_wrong |= name in ENDING and finding.status == ConfigError.exit_status
        if is_wrong:
            return


def _found(look: Look, subject: Subject) -> Iterator[Finding]:
    found: list[Finding] = []
    with warnings_as_findings("config.yaml", remedy="change it if that is not meant") as told:
        found += look(subject)
    yield from found
    yield from told
