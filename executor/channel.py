"""The reports of the task process to its supervisor: JSON lines on an inherited pipe.

{"progress": 0.25}
{"failure": {"code": 300103, "exit_status": 6, "reason": "..."}}
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from executor.errors import ExecutorError

_MIN_INTERVAL_S = 0.2
_MAX_REASON_BYTES = 3000  # a line must stay below PIPE_BUF (4096 bytes) to be written in one piece


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the task ended: the platform's code, the exit status and a reason in words."""

    code: int
    exit_status: int
    reason: str

    def as_error(self) -> ExecutorError:
        """The error that the task reported, of the class that has these numbers."""
        for kind in _kinds(ExecutorError):
            if (kind.code, kind.exit_status) == (self.code, self.exit_status):
                return kind(self.reason)
        return ExecutorError(self.reason)


@dataclass(frozen=True, slots=True)
class Report:
    """One line from the task; a field that the line does not contain is None."""

    progress: float | None = None
    failure: Failure | None = None


class Reporter:
    """The task's end of the pipe. It never blocks for long or raises, even if nobody reads."""

    def __init__(self, descriptor: int | None) -> None:
        """Send reports to an open file descriptor, or nowhere if it is None."""
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._next_time_s = 0.0

    def progress(self, fraction: float) -> None:
        """Report that the task is at `fraction`, 0 to 1; any number of calls is allowed."""
        now = time.monotonic()
        if now >= self._next_time_s or fraction >= 1.0:
            self._next_time_s = now + _MIN_INTERVAL_S
            self._send({"progress": float(fraction)})

    def failure(self, error: ExecutorError) -> None:
        """Report that the task is about to end because of `error`."""
        reason = str(error)
        while len(json.dumps(reason)) > _MAX_REASON_BYTES:
            reason = reason[: len(reason) * 9 // 10]
        content = {"code": error.code, "exit_status": error.exit_status, "reason": reason}
        self._send({"failure": content})

    def _send(self, content: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        line = json.dumps(content).encode() + b"\n"
        with self._lock, suppress(OSError):
            os.write(self._descriptor, line)


class ReportReader:
    """Turn the bytes of the pipe into reports; lines that are not reports are skipped."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Report]:
        """The reports completed by `data`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-(1 << 16) :]
        for line in lines:
            with suppress(ValueError, TypeError, KeyError):
                yield _parsed(json.loads(line))


def _parsed(content: object) -> Report:
    if not isinstance(content, dict):
        raise ValueError("not a report")
    failure = content.get("failure")
    if isinstance(failure, dict):
        code, status = int(failure["code"]), int(failure["exit_status"])
        return Report(failure=Failure(code, status, str(failure["reason"])))
    if isinstance(content.get("progress"), int | float):
        return Report(progress=float(str(content["progress"])))
    raise ValueError("not a report")


def _kinds(kind: type[ExecutorError]) -> Iterator[type[ExecutorError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)
