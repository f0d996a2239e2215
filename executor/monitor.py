"""monitor.txt: one record of how far the run is, always whole, rewritten in place.

    <task id> TAB <unix time> TAB <fraction 0..1> TAB <state> TAB <code> TAB <message>

The platform polls it. It takes a record for news only when the time changed, for a failure when
the state is 4, and fails the run at once when it finds half a record.

Progress is worth less than the work: a record that cannot be written is warned of, and the next one
tries again.
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
"""Pauses before the last record is tried again: no later one will make up for it."""

_MAX_MESSAGE = 500
_MAX_DETAILS = 98  # of at most 99 lines that are read


def one_line(text: str, max_length: int = _MAX_MESSAGE) -> str:
    """`text` without line breaks, tabs or control characters, cut to `max_length`."""
    joined = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    return shortened(printable(joined, instead=" "), max_length)


class Monitor:
    """Writes the record. The fraction never falls; after the last one nothing is written any more.

    No method raises: the storage may be away for a while, and so may only this file.
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
        """The run is at `fraction`; NaN and steps back count as no news."""
        if not self._is_final:
            if fraction > self.fraction:
                self.fraction = min(fraction, 1.0)
            self._write(RUNNING, 0, message)

    def done(self) -> None:
        """The run has come to its end, and all results are there."""
        self.fraction = 1.0
        self._write_last(RUNNING, 0, "done")

    def failed(self, error: ExecutorError, details: str = "") -> None:
        """The run is about to end in failure; `details` may have many lines.

        Of wrong settings the last line comes first: it counts the others, and the end is cut.
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
        """Whether the record is there now; the same trouble is told once."""
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
