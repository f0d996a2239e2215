"""What a check finds, and how the task's own sentences become findings."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from app.tasks.failures import contract_error
from common.text import plain
from executor.errors import ExecutorError


class Severity(StrEnum):
    """How bad a finding is.

    error    the task would end with a status other than 0
    warning  the task would run, and its result would probably not be what the user wants
    note     worth knowing
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    sentence  what is wrong, and the likely cause
    place     file, with line and column where they are known, or a setting
    remedy    what to do
    status    exit status of the task because of it; 0 unless it is an error
    check     name of the check that found it
    """

    severity: Severity
    sentence: str
    place: str = ""
    remedy: str = ""
    status: int = 0
    check: str = ""


_PLACE = re.compile(r"(?P<place>[\w.-]+\.ya?ml(:\d+:\d+)?|/[^:;]+(:\d+)*): (?P<rest>.+)", re.DOTALL)
"""`config.yaml:LINE:COLUMN: ...` or `/a/file:LINE: ...`, as the sentences of tasks begin."""

_SETTING = re.compile(r"[\w.-]+\.ya?ml:\d+")
"""A place in a file of settings: several remedies may follow (`allowed ...; leave it out`)."""

_COUNT = re.compile(r"\d+ problems in \S+: ")
"""The last line of several problems, which only counts them."""


def finding_of(
    text: str, *, severity: Severity, place: str = "", remedy: str = "", status: int = 0
) -> Finding:
    """A sentence of a task, `PLACE: what is wrong; what to do`, as a finding.

    place, remedy  for sentences that name none
    """
    found = _PLACE.fullmatch(text)
    if found is not None:
        place, text = found["place"], found["rest"]
    is_setting = _SETTING.match(place) is not None
    what, separator, advice = text.partition("; ") if is_setting else text.rpartition("; ")
    if not separator:
        return Finding(severity, text, place, remedy, status)
    return Finding(severity, what, place, advice, status)


def findings_of_error(error: ExecutorError, place: str = "") -> Iterator[Finding]:
    """One finding for each line of an error that ends a task."""
    for line in str(error).splitlines():
        if not _COUNT.match(line):
            yield finding_of(line, severity=Severity.ERROR, place=place, status=error.exit_status)


@contextmanager
def warnings_as_findings(place: str = "", *, remedy: str = "") -> Iterator[list[Finding]]:
    """Collect the errors and the logged warnings of the task's own code as findings.

    An error ends the block, and is not raised again unless it is a bug of ours.

    place, remedy  for sentences that name none
    """
    found: list[Finding] = []
    root = logging.getLogger()
    collector = _Collector(found, place, remedy)
    outer = [handler for handler in root.handlers if isinstance(handler, _Collector)]
    for handler in outer:
        root.removeHandler(handler)
    root.addHandler(collector)
    try:
        yield found
    except Exception as error:
        known = contract_error(error)
        if known is None:
            raise
        found += findings_of_error(known, place)
    finally:
        root.removeHandler(collector)
        for handler in outer:
            root.addHandler(handler)


class _Collector(logging.Handler):
    """Turns what is logged as a warning into findings."""

    def __init__(self, found: list[Finding], place: str, remedy: str) -> None:
        super().__init__(logging.WARNING)
        self._found = found
        self._place = place
        self._remedy = remedy

    def emit(self, record: logging.LogRecord) -> None:
        text = plain(record.getMessage())
        self._found.append(
            finding_of(text, severity=Severity.WARNING, place=self._place, remedy=self._remedy)
        )
