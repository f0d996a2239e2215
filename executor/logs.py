"""The format of the log: `[11/21 06:15:02] executor.monitor INFO: message` on standard output.

The platform keeps standard output as the run's log and shows its last five lines on failure.
"""

import io
import logging
import sys


def setup_logging() -> None:
    """Send all but the finest records to standard output, warnings of libraries included."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may not be UTF-8
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", "%m/%d %H:%M:%S")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
