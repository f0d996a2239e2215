"""Processes that end with their parent, and that only their parent stops."""

import ctypes
import os
import signal
import sys

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: loading after a fork is unsafe


def die_with(parent: int) -> None:
    """Have this new process killed when its `parent` ends or has ended already (on Linux)."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def follow(parent: int) -> None:
    """In a new process: call `die_with` and ignore stop signals, so that only the parent stops it.

    A terminal and `docker stop` may signal all processes at once.
    """
    die_with(parent)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def adopt_orphans() -> None:
    """Become the parent of all processes below this one whose own parent ends (on Linux)."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
