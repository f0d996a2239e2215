"""The task process: it runs the tasks of env.yaml and reports to its supervisor."""

import argparse
import faulthandler
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from app.tasks import run_task
from app.tasks.failures import told
from common.progress import Progress, span
from executor.channel import Reporter
from executor.env import Env, load_env
from executor.logs import setup_logging

logger = logging.getLogger("app.tasks")


def main(arguments: list[str]) -> int:
    """Run all requested tasks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="app.tasks")
    parser.add_argument("--env", type=Path, required=True)
    parser.add_argument("--report-fd", type=int)
    options = parser.parse_args(arguments)
    setup_logging()
    # `kill -USR1` logs the stacks of all threads, for a run that seems stuck.
    faulthandler.register(signal.SIGUSR1)
    reporter = Reporter(options.report_fd)
    try:
        run_tasks(load_env(options.env), reporter.progress)
    except Exception as error:  # the one broad handler: whatever ends a run must be reported
        return report_failure(error, reporter)
    return 0


def run_tasks(env: Env, progress: Progress) -> None:
    """Run the requested tasks one after the other, each with an equal share of the progress."""
    tasks = env.require_tasks()
    for number, task in enumerate(tasks):
        logger.info("starting %s", task.value)
        run_task(task, env, span(progress, number / len(tasks), (number + 1) / len(tasks)))


def report_failure(error: Exception, reporter: Reporter) -> int:
    """Report to the supervisor why the run ends; only our own bugs log a traceback."""
    known = told(error)
    reporter.failure(known)
    return known.exit_status


def leave(status: int) -> NoReturn:
    """End the process without the interpreter's clean-up.

    With torch loaded the clean-up takes seconds, which a stopped run needs for saving. All files
    are written by now, and remaining workers die with this process.
    """
    logging.shutdown()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
