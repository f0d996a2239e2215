"""`python -m app.cli train|evaluate|detect|export ...`; exit status 0, 1 (user), 2 (usage)."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from app.cli.arguments import Options, parse
from app.engine.errors import ConfigError, EngineError, is_out_of_memory
from app.engine.imports import lasting_imports
from app.launchers import several_processes
from common.storage import LOST, remedy
from common.text import first_line
from executor.logs import setup_logging

logger = logging.getLogger("app.cli")

INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Run one verb; an error that a user can correct is one log line and exit status 1."""
    options = parse(arguments)
    setup_logging()
    try:
        run(options)
    except KeyboardInterrupt:
        logger.error("interrupted")
        return INTERRUPTED
    except Exception as error:
        sentence = sentence_about(error)
        if sentence is None:
            raise
        logger.error("%s", sentence)
        return 1
    return 0


def run(options: Options) -> None:
    """Run one verb; all errors are raised."""
    launch = several_processes(os.environ)
    if launch is not None:
        raise ConfigError(launch.refusal("train --num-gpus N uses N GPUs by itself"))
    # Only the verb's own module is imported: other libraries take seconds to import.
    with lasting_imports():
        do: Callable[[Options], None] = import_module(f"app.cli.{options.verb}").run
    do(options)


def sentence_about(error: Exception) -> str | None:
    """Return one sentence on an error that a user can correct; None for a bug of ours."""
    if isinstance(error, EngineError):
        return str(error)
    if isinstance(error, OSError):
        advice = remedy(error) if error.errno in LOST else "check the path and its rights"
        return f"{error.filename or 'a file'}: {error.strerror or error}; {advice}"
    if isinstance(error, MemoryError | RuntimeError) and is_out_of_memory(error):
        return f"the memory is too small ({first_line(error)}); use smaller images"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
