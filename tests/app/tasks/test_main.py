"""The task process as the supervisor starts it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

STUCK = """
import os, signal, sys
from app.tasks import __main__ as task

def stuck(env, progress):
    os.kill(os.getpid(), signal.SIGUSR1)
    print("still alive")

task.run_tasks = stuck
task.load_env = lambda path: None
sys.exit(task.main(["--env", "env.yaml"]))
"""


def test_a_signal_shows_where_a_stuck_run_stands() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "in stuck" in done.stderr
    assert "still alive" in done.stdout


LEAVING = """
import atexit
from app.tasks.__main__ import leave

atexit.register(print, "taken apart")
print("last words", end="")
leave(7)
"""


def test_the_end_is_quick_but_says_everything() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVING], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "last words", "")
