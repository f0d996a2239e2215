"""`python -m app.start`: what the container runs. No flags; everything comes from env.yaml.

Variables: DEFAULT_ENV_FILE_PATH (/in/env.yaml), EXECUTOR_GRACE_S (8: seconds to save after
SIGTERM; docker kills after 10), EXECUTOR_STALL_S (600: seconds without a sign of progress until
the log says so). Exit statuses: executor/errors.py.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app.stop_signals import StopSignals


def main(task_command: Sequence[str] | None = None) -> int:
    """Run what env.yaml asks for with `task_command` (default: `app.tasks`); the exit status."""
    signals = StopSignals()
    # Imported only now: until handlers are installed, the first process of a container is deaf.
    from app.supervisor import Settings, supervise

    env_file = Path(os.environ.get("DEFAULT_ENV_FILE_PATH") or "/in/env.yaml")
    command = task_command or (sys.executable, "-m", "app.tasks")
    settings = Settings(
        env_file=env_file,
        task_command=(*command, "--env", str(env_file)),
        environ=dict(os.environ),
        grace_s=_seconds("EXECUTOR_GRACE_S", 8.0),
        stall_s=_seconds("EXECUTOR_STALL_S", 600.0),
    )
    return supervise(settings, signals)


def _seconds(variable: str, default: float) -> float:
    """A duration from the environment; the default where it is unset or no number."""
    try:
        return max(float(os.environ.get(variable, "")), 0.0)
    except ValueError:
        return default


if __name__ == "__main__":
    sys.exit(main())
