"""Engines in separate processes that run in turns: rounds A B C A B C ...

A slow minute of the machine then affects all engines equally. A worker answers each line on its
standard input with a line of JSON; its module defines the questions and the arguments.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from app.task_process import task_environment
from benchmarks import REPOSITORY
from benchmarks.speed.engines import EngineSpec


@dataclass(slots=True)
class Worker:
    """A running engine, and its answers in the counted rounds."""

    spec: EngineSpec
    process: "subprocess.Popen[str]"
    started: float
    runs: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, question: str) -> dict[str, Any]:
        """Write one line; return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Read the next line of its output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine {self.spec.label} ended; its messages are above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def start(spec: EngineSpec, module: str, arguments: Sequence[str], *, threads: int) -> Worker:
    """Run a module of this folder with the engine's Python."""
    process = subprocess.Popen(
        [spec.python, "-m", f"benchmarks.speed.{module}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(spec, threads),
        cwd=REPOSITORY,
    )
    return Worker(spec, process, time.perf_counter())


@contextmanager
def ended_at_last(workers: list[Worker]) -> Iterator[list[Worker]]:
    """Kill the workers when the block is left."""
    try:
        yield workers
    finally:
        for worker in workers:
            with worker.process:
                worker.process.kill()


def take_turns(workers: Sequence[Worker], *, rounds: int) -> None:
    """Run one round that is not counted, then `rounds` counted ones."""
    for number in range(1 + rounds):
        for worker in workers:
            run = worker.ask("run")
            if number > 0:
                worker.runs.append(run)


def summary(worker: Worker, first: Worker) -> dict[str, Any]:
    """Times and memory of a worker, and its quotients with the first worker, round by round."""
    walls = [run["wall_s"] for run in worker.runs]
    quotients = [a["wall_s"] / b["wall_s"] for a, b in zip(first.runs, worker.runs, strict=True)]
    low, _, high = statistics.quantiles(quotients, n=4, method="inclusive")
    cpu_s = statistics.median(run["cpu_s"] for run in worker.runs)
    return {
        "label": worker.spec.label,
        "median_s": statistics.median(walls),
        "min_s": min(walls),
        "max_s": max(walls),
        "speedup": statistics.median(quotients),
        "speedup_low": low,
        "speedup_high": high,
        "cpu_s": cpu_s,
        "cpu_speedup": statistics.median(run["cpu_s"] for run in first.runs) / cpu_s,
        "rss_mb": max(run["rss_mb"] for run in worker.runs),
    }


def _environment(spec: EngineSpec, threads: int) -> dict[str, str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    environ.pop("THP_MEM_ALLOC_ENABLE", None)
    if spec.malloc:
        ours = task_environment({})
        tuned = ("MALLOC_", "THP_")
        environ |= {name: value for name, value in ours.items() if name.startswith(tuned)}
    return {**environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
