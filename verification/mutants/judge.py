"""Make one change in a copy of the repository, and run the tests that could notice it.

The process that calls `judge` has imported torch and pytest, but not the product: each set
of tests runs in a fork of it, so that it starts at once and imports the changed file.
"""

import math
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from verification.mutants.changes import Change

FIRST = 20
"""Number of tests in the first fork: it imports few files, and most changes are noticed there."""
GRACE_S = 30.0
PATIENCE = 6
MEMORY_GIB = 16
KILLED, TIMEOUT, SURVIVED, UNREACHED = "killed", "time limit", "survived", "not reached"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a change; `test` is the one that noticed it, "" if none."""

    outcome: str
    test: str
    seconds: float


def judge(change: Change, tests: Sequence[str], seconds: dict[str, float]) -> Verdict:
    """Judge one change of a file below the current folder; the file is restored afterwards."""
    started = time.monotonic()
    if not tests:
        return Verdict(UNREACHED, "", 0.0)
    with _changed(Path(change.file), change):
        for part in (tests[:FIRST], tests[FIRST:]):
            if part:
                limit_s = GRACE_S + 3 * sum(seconds[test] for test in part)
                outcome, test = run_tests(part, limit_s)
                if outcome != SURVIVED:
                    return Verdict(outcome, test, round(time.monotonic() - started, 1))
    return Verdict(SURVIVED, "", round(time.monotonic() - started, 1))


@contextmanager
def _changed(path: Path, change: Change) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(change.applied(before))
    try:
        yield
    finally:
        path.write_bytes(before)


def run_tests(tests: Sequence[str], limit_s: float) -> tuple[str, str]:
    """Run tests one after the other in a fork; the outcome, and the test at which it ended.

    `limit_s` counts processor seconds; a fork that waits may take PATIENCE times as long.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        pid = os.fork()
        if pid == 0:
            _tests_of_a_fork(tests, Path(folder), math.ceil(limit_s))
        status = _wait(pid, PATIENCE * limit_s)
        if status == 0:
            return SURVIVED, ""
        test = Path(folder, "test")
        noticed = test.read_text(encoding="utf-8") if test.exists() else ""
        return TIMEOUT if status in (None, -signal.SIGXCPU) else KILLED, noticed


class _Names:
    """A pytest plugin that writes the name of the latest test to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.path.write_text(nodeid, encoding="utf-8")


def _tests_of_a_fork(tests: Sequence[str], folder: Path, limit_s: int) -> None:
    """Run the tests and exit; never returns."""
    status = 1
    try:
        os.setsid()
        _forget_this_tree()
        limit = MEMORY_GIB * 2**30
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 5))
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        options = ["-q", "-x", "--tb=no", f"--basetemp={folder / 'pytest'}"]
        options += ["-p", "no:cacheprovider", "-p", "no:xdist"]
        options += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
        status = int(pytest.main([*options, *tests], plugins=[_Names(folder / "test")]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _forget_this_tree() -> None:
    """Make imports of the tests come from the current folder, including this package."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "verification"]:
        del sys.modules[name]
    sys.path[0] = str(Path.cwd())


def _wait(pid: int, limit_s: float) -> int | None:
    """Wait for a fork and end its children; the exit status, None if the time limit ended it."""
    end = time.monotonic() + limit_s
    status = None
    while status is None and time.monotonic() < end:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        else:
            time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if status is None:
        os.waitpid(pid, 0)
    return status
