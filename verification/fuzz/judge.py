"""Judge a parser: it may return, or raise one of our errors in a few plain lines."""

import faulthandler
import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path

from app.engine.errors import EngineError
from executor.errors import ExecutorError

TIME_LIMIT_S = 30.0
MAX_LINES = 4
MAX_LINE = 1000  # characters

_OURS = (EngineError, ExecutorError)


class UnexplainedError(AssertionError):
    """A parser reacted to an input in a way that no user could understand."""


def judge(read: Callable[[Path], object], path: Path, *, max_lines: int = MAX_LINES) -> str:
    """Call `read` on the file at `path`; the error's message, "" if there was none.

    A reader that does not return within TIME_LIMIT_S ends the process, because a loop in C cannot
    be interrupted otherwise; the stacks are on stderr.
    """
    logging.disable(logging.CRITICAL)
    faulthandler.dump_traceback_later(TIME_LIMIT_S, exit=True, file=2)
    try:
        with warnings.catch_warnings(record=True) as escaped:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DeprecationWarning)  # as Python does by default
            message = _message(read, path)
    finally:
        faulthandler.cancel_dump_traceback_later()
        logging.disable(logging.NOTSET)
    if escaped:
        raise UnexplainedError(f"a warning escaped: {escaped[0].message!r}")
    _check_message(message, path.name, max_lines)
    return message


def _message(read: Callable[[Path], object], path: Path) -> str:
    try:
        read(path)
    except _OURS as error:
        return str(error) or "(an error without a word)"
    except Exception as error:
        raise UnexplainedError(f"{type(error).__name__}: {str(error)[:300]}") from error
    return ""


def _check_message(message: str, name: str, max_lines: int) -> None:
    """The message must name the file, be short, and hold nothing that moves a terminal's cursor."""
    if not message:
        return
    lines = message.split("\n")
    if name not in message:
        raise UnexplainedError(f"the message does not name {name}: {message[:300]}")
    longest = max(map(len, lines))
    if len(lines) > max_lines or longest > MAX_LINE:
        raise UnexplainedError(f"{len(lines)} lines, the longest of {longest} characters")
    odd = re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", message.replace("\n", ""))
    if odd:
        raise UnexplainedError(f"the message holds {odd[0]!r}: {message[:300]!r}")
