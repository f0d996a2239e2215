"""monitor.txt: one record of the run's progress, always complete, rewritten in place.

    <task id> TAB <unix time> TAB <fraction 0..1> TAB <state> TAB <code> TAB <message>

The platform polls the file. A record is new if its time changed, and a failure if its state is 4;
an incomplete record makes the platform fail the run at once.

A record that cannot be written must not end the run: a warning is logged, and the next record is
tried as usual.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from common.text import printable, shortened
from executor.errors import ConfigError, ExecutorError, OutputError
from executor.output_files import write_atomically

logger = logging.getLogger(__name__)

RUNNING = 2
ERROR = 4

_LAST_TRIES_S = (0.5, 1.0)
"""Seconds before each new attempt to write the last record, which no later one replaces."""

_MAX_MESSAGE = 500
_MAX_DETAILS = 98  # the platform reads at most 99 lines


def one_line(text: str, max_length: int = _MAX_MESSAGE) -> str:
    """`text` without line breaks, tabs or control characters, cut to `max_length`."""
    joined = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    return shortened(printable(joined, instead=" "), max_length)


class Monitor:
    """Write the record. The fraction never falls; nothing is written after the last record.

    No method raises: the storage, or only this file, may be unavailable for a while.
    """

    def __init__(
        self,
        path: Path,
        task_id: str,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._task_id = one_line(task_id)
        self._clock = clock
        self._sleep = sleep
        self._trouble = ""
        self._time = 0.0
        self._is_final = False
        self.fraction = 0.0

    def running(self, fraction: float, message: str = "") -> None:
        """Record that the run is at `fraction`; NaN and smaller fractions are ignored."""
        if not self._is_final:
            if fraction > self.fraction:
                self.fraction = min(fraction, 1.0)
            self._write(RUNNING, 0, message)

    def done(self) -> None:
        """Record that the run has ended and all results exist."""
        self.fraction = 1.0
        self._write_last(RUNNING, 0, "done")

    def failed(self, error: ExecutorError, details: str = "") -> None:
        """Record that the run is about to fail; `details` may have many lines.

        For wrong settings the last line, which counts the others, comes first: the end is cut.
        """
        lines = str(error).splitlines()
        if isinstance(error, ConfigError):
            lines = [*lines[-1:], *lines[:-1]]
        self._write_last(ERROR, error.code, "\n".join(lines), details)

    def _write_last(self, state: int, code: int, message: str, details: str = "") -> None:
        if self._is_final:
            return
        self._is_final = True
        for pause_s in _LAST_TRIES_S:
            if self._write(state, code, message, details):
                return
            self._sleep(pause_s)
        self._write(state, code, message, details)

    def _write(self, state: int, code: int, message: str, details: str = "") -> bool:
        """Write a record and return whether that succeeded; a repeated error is logged once."""
        # A clock set back must not make two records look alike.
        self._time = max(self._clock(), self._time + 0.001)
        record = "\t".join(
            [
                self._task_id,
                f"{self._time:.3f}",
                f"{self.fraction:.4f}",
                str(state),
                str(code),
                one_line(message),
            ]
        )
        lines = [one_line(line) for line in details.splitlines() if line.strip()]
        try:
            write_atomically(self._path, "\n".join([record, *lines[-_MAX_DETAILS:]]) + "\n")
        except OutputError as error:
            if str(error) != self._trouble:
                logger.warning("no record of the progress: %s; trying again", error)
            self._trouble = str(error)
            return False
        if self._trouble:
            logger.info("%s can be written again", self._path)
        self._trouble = ""
        return True
