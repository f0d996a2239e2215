"""Make each write of a tiny run fail once, and fill the disk at each of them.

The task runs in a fork of this process, which has imported everything already: hundreds of runs
would otherwise spend their time importing. The supervisor runs in forks, too, around a task that
does nothing. A shared library (`failing_disk.c`, compiled here) makes the n-th change below /out
fail.
"""

import ctypes
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from verification import json_lines
from verification.reliability.check import Known, problems_of
from verification.reliability.trees import Tree, make_tree

_SOURCE = Path(__file__).with_name("failing_disk.c")
_TIMEOUT_S = 600.0
_EXPECTED = (0, 8)
"""Statuses that are right: done all the same, or "/out is full, broken or not writable"."""

FAULTS = {
    "full": (errno.ENOSPC, True),
    "input/output error": (errno.EIO, False),
}
"""Error number, and whether all later changes fail as well."""

_FAKE_TASK = """
import os, sys, time
time.sleep(0.1)
name = dict(training="models/result.yaml", mining="result.tsv", infer="infer-result.json")
path = os.path.join(sys.argv[1], name[sys.argv[2]])
os.makedirs(os.path.dirname(path), exist_ok=True)
open(path, "w").close()
"""

Body = Callable[[Tree], int]


def fail_every_write(path: Path, scratch: Path, seconds: float) -> int:
    """Try all tasks, faults and calls that `path` does not have yet; 1 if anything went wrong."""
    library = scratch.resolve() / "failing_disk.so"
    if os.environ.get("LD_PRELOAD") != str(library):
        return _start_again_with(library)
    end = time.monotonic() + seconds
    done = {
        (record["task"], record["fault"], record["call"])
        for record in json_lines.read(path)
        if record["kind"] == "disk"
    }
    bodies: dict[str, Body] = dict.fromkeys(("training", "mining", "infer"), _task)
    for task, body in {**bodies, "supervisor": _supervisor}.items():
        kind = "training" if task == "supervisor" else task
        tree = make_tree(
            scratch.resolve() / "disk" / task, kind, num_candidates=8, max_iter=2, eval_period=2
        )
        total = _count(tree, body)
        for fault in FAULTS:
            for call in range(1, total + 1):
                if (task, fault, call) in done:
                    continue
                if time.monotonic() > end:
                    return _verdict(path)
                json_lines.append(path, {**_experiment(tree, body, task, fault, call), "of": total})
    return _verdict(path)


def _start_again_with(library: Path) -> int:
    library.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-shared", "-fPIC", "-O1", "-D_GNU_SOURCE"]
    subprocess.run(["cc", *flags, "-o", str(library), str(_SOURCE), "-ldl"], check=True)
    environ = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "verification.reliability", *sys.argv[1:]]
    return subprocess.run(command, env=environ, check=False).returncode


def _verdict(path: Path) -> int:
    found = [record for record in json_lines.read(path) if record["kind"] == "disk"]
    bad = [record for record in found if record["problems"]]
    print(f"disk: {len(found)} writes failed, {len(bad)} with problems", flush=True)
    return int(bool(bad))


def _count(tree: Tree, body: Body) -> int:
    """The number of changes that an undisturbed run makes."""
    status, calls = _forked(tree, body, "full", 0)
    if status != 0:
        raise RuntimeError(f"a run that nobody disturbed ended with {status}:\n{tree.log}")
    return calls


def _experiment(tree: Tree, body: Body, task: str, fault: str, call: int) -> json_lines.Record:
    status, _ = _forked(tree, body, fault, call)
    problems = [] if status in _EXPECTED else [f"ended with status {status}"]
    if task != "supervisor":
        known = Known()
        problems += problems_of(tree, known)
        if not problems and call % 10 == 0:
            # With a working disk, the run must go on to its end.
            status_after, _ = _forked(tree, body, fault, 0, keep=True)
            problems += problems_of(tree, known)
            if status_after != 0:
                problems.append(f"started again, it ended with status {status_after}")
    if problems:
        print(task, fault, call, problems, tree.log, sep="\n", flush=True)
    return {
        "kind": "disk",
        "task": task,
        "fault": fault,
        "call": call,
        "exit": status,
        "problems": problems,
    }


def _forked(
    tree: Tree, body: Body, fault: str, call: int, *, keep: bool = False
) -> tuple[int, int]:
    """Run `body` in a fork with a fault; (exit status, changes below /out)."""
    if not keep:
        tree.forget_output()
        (tree.out / "models").mkdir()
        (tree.out / "tensorboard").mkdir()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(_child(tree, body, fault, call, writer))
    os.close(writer)
    status = _wait(child)
    with os.fdopen(reader) as stream:
        return status, int(stream.read() or 0)


def _child(tree: Tree, body: Body, fault: str, call: int, writer: int) -> int:
    log = os.open(tree.root / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    disk = ctypes.CDLL(None)
    number, lasts = FAULTS[fault]
    disk.disk_fail(str(tree.out).encode(), ctypes.c_long(call), number, int(lasts))
    try:
        return body(tree)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
        os.write(writer, b"%d" % disk.disk_calls())


def _wait(child: int) -> int:
    end = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


def _task(tree: Tree) -> int:
    from app.tasks.__main__ import main

    return main(["--env", str(tree.env_file)])


def _supervisor(tree: Tree) -> int:
    from app.start import main

    os.environ["DEFAULT_ENV_FILE_PATH"] = str(tree.env_file)
    return main([sys.executable, "-c", _FAKE_TASK, str(tree.out), tree.task])
