"""`python -m app.start`: the program of the container. It has no flags and reads env.yaml.

Variables: DEFAULT_ENV_FILE_PATH (/in/env.yaml), EXECUTOR_GRACE_S (8: seconds to save after
SIGTERM; docker kills after 10), EXECUTOR_STALL_S (600: seconds without progress before the log
says so). Exit statuses: executor/errors.py.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.stop_signals import StopSignals

if TYPE_CHECKING:
    from executor.errors import ExecutorError


def main(task_command: Sequence[str] | None = None) -> int:
    """Run the tasks of env.yaml with `task_command` (default: `app.tasks`); the exit status."""
    error = run(task_command)
    return 0 if error is None else error.exit_status


def run(
    task_command: Sequence[str] | None = None,
    *,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> "ExecutorError | None":
    """Run like `main`, and return the error of a failed run or None.

    on_progress  is called with the finished fraction, 0 to 1, whenever the task reports it
    """
    signals = StopSignals()
    # Imported only now: the first process of a container ignores signals without handlers.
    from app.supervisor import Settings, supervise
    from executor.mounts import mounted

    env_file = Path(os.environ.get("DEFAULT_ENV_FILE_PATH") or mounted("/in/env.yaml"))
    command = task_command or (sys.executable, "-m", "app.tasks")
    settings = Settings(
        env_file=env_file,
        task_command=(*command, "--env", str(env_file)),
        environ=dict(os.environ),
        grace_s=_seconds("EXECUTOR_GRACE_S", 8.0),
        stall_s=_seconds("EXECUTOR_STALL_S", 600.0),
        on_progress=on_progress,
    )
    return supervise(settings, signals)


def _seconds(variable: str, default: float) -> float:
    """Read a duration from the environment; the default if it is unset or not a number."""
    try:
        return max(float(os.environ.get(variable, "")), 0.0)
    except ValueError:
        return default


if __name__ == "__main__":
    sys.exit(main())
