"""`python -m app.cli train|evaluate|detect|export ...`; exit status 0, 1 (user), 2 (usage)."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from app.cli.arguments import Options, parse
from app.engine.errors import EngineError, is_out_of_memory
from app.engine.imports import lasting_imports
from app.launchers import several_processes
from common.text import first_line
from executor.logs import setup_logging

logger = logging.getLogger("app.cli")

INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Do one verb; what a user can put right is one line of the log and exit status 1."""
    options = parse(arguments)
    setup_logging()
    launch = several_processes(os.environ)
    if launch is not None:
        logger.error("%s", launch.refusal("train --num-gpus N uses N GPUs by itself"))
        return 1
    # Only the verb's own module is imported: the others' libraries cost seconds.
    with lasting_imports():
        run: Callable[[Options], None] = import_module(f"app.cli.{options.verb}").run
    try:
        run(options)
    except EngineError as error:
        logger.error("%s", error)
    except OSError as error:
        reason = error.strerror or error
        logger.error("%s: %s; check the path and its rights", error.filename, reason)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        logger.error("the memory is too small (%s); use smaller images", first_line(error))
    except KeyboardInterrupt:
        logger.error("interrupted")
        return INTERRUPTED
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
