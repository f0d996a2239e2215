"""Kill and stop real runs at random instants, with one record for each."""

import logging
import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from verification import json_lines
from verification.reliability.check import Known, monitor_record, problems_of, redone
from verification.reliability.trees import RealRun, Tree, make_tree

_SHARES = {"training": 3, "mining": 1, "infer": 1}
_BEGUN = ("images usable", " model: ")
"""What a run logs when its imports are done and its work begins."""
_EARLY_SHARE = 0.15  # share of the instants that are drawn from the start of the process on
_EARLY_S = 5.0
_LATE_S = 4.0
_ORPHANS_S = 3.0


def interrupt_runs(part: str, count: int, seconds: float, *, path: Path, scratch: Path) -> None:
    """Kill or stop runs until `path` holds `count` records of this kind, or the time is over."""
    # A checkpoint that was being written is skipped with a warning, which is right.
    logging.getLogger("app.engine.checkpoint.store").setLevel(logging.ERROR)
    end = time.monotonic() + seconds
    shutil.rmtree(scratch, ignore_errors=True)
    rng = random.Random(f"{time.time_ns()}{scratch}")
    chains = {task: Chain(scratch / task, task, rng.randrange(2**31)) for task in _SHARES}
    while time.monotonic() < end and sum(r["kind"] == part for r in json_lines.read(path)) < count:
        (task,) = rng.choices(list(_SHARES), list(_SHARES.values()))
        chain = chains[task]
        record = chain.kill() if part == "kill" else chain.stop()
        if record is not None:
            json_lines.append(path, record)
            if record["problems"]:
                print(record, chain.tree.log, sep="\n", flush=True)


class Chain:
    """A series of interrupted runs on one /out, until the task is done."""

    def __init__(self, root: Path, task: str, seed: int) -> None:
        self.rng = random.Random(seed)
        # A worker process costs a run as much as all its work, so only every third run has one.
        num_workers = self.rng.choice((0, 0, 1))
        self.tree: Tree = make_tree(root, task, num_workers=num_workers)
        self.known = Known()

    def kill(self) -> dict[str, Any] | None:
        """Start a run and send SIGKILL to all its processes; None if it ended before that."""
        run = self._run_until_the_instant()
        if run is None:
            return None
        instant_s = time.monotonic() - run.started
        everybody = run.everybody()
        self.rng.shuffle(everybody)
        phase = phase_of(self.tree)
        for pid in everybody:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.wait()
        problems = self._orphans() + problems_of(self.tree, self.known)
        return {
            "kind": "kill",
            "task": self.tree.task,
            "phase": phase,
            "instant_s": round(instant_s, 2),
            "redone": max(redone(self.tree.steps()), default=0),
            "problems": problems,
        }

    def stop(self) -> dict[str, Any] | None:
        """Start a run and send SIGTERM: to the supervisor, to all its processes, or twice."""
        num_before = len(self.tree.steps())
        run = self._run_until_the_instant()
        if run is None:
            return None
        instant_s = time.monotonic() - run.started
        phase, num_steps = phase_of(self.tree), len(self.tree.steps()) - num_before
        how = self.rng.choices(("once", "all", "twice"), (7, 2, 1))[0]
        everybody = run.everybody()
        start = time.monotonic()
        for pid in everybody if how == "all" else everybody[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if how == "twice" and not run.await_end(0.3):
            run.process.send_signal(signal.SIGTERM)
        status = run.process.wait()
        seconds = time.monotonic() - start
        problems = self._orphans() + problems_of(self.tree, self.known)
        problems += self._not_stopped(status, saves=how != "twice" and num_steps > 1)
        if status == 0:
            self._start_over()
        return {
            "kind": "stop",
            "task": self.tree.task,
            "phase": phase,
            "how": how,
            "instant_s": round(instant_s, 2),
            "exit": status,
            "seconds": round(seconds, 3),
            "problems": problems,
        }

    def _run_until_the_instant(self) -> RealRun | None:
        run = RealRun(self.tree)
        if self.rng.random() < _EARLY_SHARE:
            has_ended = run.await_end(self.rng.uniform(0.0, _EARLY_S))
        else:
            has_ended = not run.await_log(*_BEGUN)
            has_ended = has_ended or run.await_end(self.rng.uniform(0.0, _LATE_S))
        if not has_ended:
            return run
        if run.process.returncode != 0:
            raise RuntimeError(f"a run failed by itself:\n{self.tree.log}")
        problems = problems_of(self.tree, self.known)
        if problems:
            raise RuntimeError(f"a run that nobody disturbed: {problems}\n{self.tree.log}")
        self._start_over()
        return None

    def _start_over(self) -> None:
        self.tree.forget_output()
        self.known = Known()

    def _orphans(self) -> list[str]:
        """Processes of the run that are still alive a moment after its end."""
        end = time.monotonic() + _ORPHANS_S
        mark = f"RELIABILITY_STEPS={self.tree.root / 'steps'}\0".encode()
        while alive := [pid for pid in _everybody() if mark in _environment(pid)]:
            if time.monotonic() > end:
                return [f"processes outlive the run: {alive}"]
            time.sleep(0.05)
        return []

    def _not_stopped(self, status: int, *, saves: bool) -> list[str]:
        found = []
        # A signal before the first line of Python ends the process; a shell shows this as 143.
        if status not in (0, 143, -signal.SIGTERM):
            found.append(f"ended with status {status}")
        record = monitor_record(self.tree)
        if status == 143 and (record is None or record[3:5] != ["4", "160004"]):
            found.append(f"monitor.txt after a stop: {record}")
        if saves and self.tree.task == "training":
            if not self.known.iteration:
                found.append("no checkpoint after a stop")
            if self.known.best is None:
                found.append("no stage after a stop")
        return found


def phase_of(tree: Tree) -> str:
    """The phase of the run, by the last line of its log."""
    log = tree.log
    for words, phase in (
        (("Starting training", "training"),)
        if tree.task == "training" and "Start inference on" not in log[log.rfind("iter: ") :]
        else (("Start inference on", "evaluation"),)
    ) + ((_BEGUN[0], "set-up"), (_BEGUN[1], "work"), ("starting ", "import")):
        if words in log:
            return phase
    return "start"


def _everybody() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _environment(pid: int) -> bytes:
    """The environment with which a process was started; empty once it has been killed."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
    except OSError:
        return b""
