"""Inference side by side: rounds A B C A B C ..., so a slower minute of the machine hits all alike.

A round calls each engine once, from image to detections. The speed-up over the first engine is the
median over rounds of the quotient within a round; its spread is the middle half of these quotients.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.task_process import task_environment
from benchmarks.speed.engines import REPOSITORY, EngineSpec, Task


@dataclass(slots=True)
class _Worker:
    """A running engine, and what was measured of it."""

    spec: EngineSpec
    process: "subprocess.Popen[str]"
    started: float
    start_to_first_s: float = 0.0
    first_s: float = 0.0
    runs: list[dict[str, float]] = field(default_factory=list)

    def ask(self, question: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine {self.spec.label} ended; its messages are above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(
    task: Task, image: Path, specs: Sequence[EngineSpec], *, rounds: int, warmup: int = 1
) -> dict[str, Any]:
    """The content of an `inference` record."""
    workers: list[_Worker] = []
    try:
        for spec in specs:
            workers.append(_start(spec, task, image))
            _first_run(workers[-1])
        for number in range(warmup + rounds):
            for worker in workers:
                run = worker.ask("run")
                if number >= warmup:
                    worker.runs.append(run)
        found = [worker.ask("detections") for worker in workers]
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
    return {
        "key": [task.config, task.short, task.threads],
        "config": task.config,
        "short": task.short,
        "max_size": task.max_size,
        "threads": task.threads,
        "image": image.name,
        "rounds": rounds,
        "load_average": os.getloadavg()[0],
        "engines": [
            _summary(worker, workers[0]) | _difference(detections, found[0])
            for worker, detections in zip(workers, found, strict=True)
        ],
    }


def _start(spec: EngineSpec, task: Task, image: Path) -> _Worker:
    numbers = [str(n) for n in (task.short, task.max_size, task.threads)]
    process = subprocess.Popen(
        [
            spec.python,
            str(Path(__file__).with_name("worker.py")),
            *(spec.kind, spec.precision, task.config, *numbers, str(image)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(spec, task.threads),
        cwd=REPOSITORY,
    )
    return _Worker(spec, process, time.perf_counter())


def _environment(spec: EngineSpec, threads: int) -> dict[str, str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    environ.pop("THP_MEM_ALLOC_ENABLE", None)
    if spec.malloc:
        ours = task_environment({})
        tuned = ("MALLOC_", "THP_")
        environ |= {name: value for name, value in ours.items() if name.startswith(tuned)}
    return {**environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}


def _first_run(worker: _Worker) -> None:
    worker.answer()
    worker.first_s = worker.ask("run")["wall_s"]
    worker.start_to_first_s = time.perf_counter() - worker.started


def _summary(worker: _Worker, first: _Worker) -> dict[str, Any]:
    walls = [run["wall_s"] for run in worker.runs]
    quotients = [a["wall_s"] / b["wall_s"] for a, b in zip(first.runs, worker.runs, strict=True)]
    low, _, high = statistics.quantiles(quotients, n=4)
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
        "first_s": worker.first_s,
        "start_to_first_s": worker.start_to_first_s,
    }


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """How far the detections are from the first engine's: of the same class, nearest box first."""
    boxes, others = np.array(found["boxes"]).reshape(-1, 4), np.array(expected["boxes"])
    others = others.reshape(-1, 4)
    gaps = np.abs(boxes[:, None] - others[None]).max(axis=2, initial=0.0)
    same = np.array(found["classes"])[:, None] == np.array(expected["classes"])[None]
    gaps = np.where(same, gaps, np.inf)
    free, score_gaps, box_gaps = set(range(len(others))), [], []
    for i in range(len(boxes)):
        best = min(free, key=lambda j: gaps[i, j], default=None)
        if best is not None and gaps[i, best] < 2.0:
            free.remove(best)
            box_gaps.append(float(gaps[i, best]))
            score_gaps.append(abs(found["scores"][i] - expected["scores"][best]))
    return {
        "detections": len(boxes),
        "matched": len(box_gaps),
        "largest_score_gap": max(score_gaps, default=0.0),
        "largest_box_gap": max(box_gaps, default=0.0),
    }


def describe(content: dict[str, Any]) -> str:
    """One line for each engine."""
    lines = [
        f"{content['config']} {content['short']} px {e['label']:18s} {e['median_s']:.3f} s "
        f"({e['min_s']:.3f}-{e['max_s']:.3f}) x{e['speedup']:.2f} "
        f"({e['speedup_low']:.2f}-{e['speedup_high']:.2f}) cpu {e['cpu_s']:.2f} s "
        f"x{e['cpu_speedup']:.2f} {e['rss_mb']:.0f} MB n {e['detections']} "
        f"matched {e['matched']} score {e['largest_score_gap']:.1e} box {e['largest_box_gap']:.1e} "
        f"first {e['start_to_first_s']:.1f} s"
        for e in content["engines"]
    ]
    return "\n".join(lines)


def default_python() -> str:
    """The interpreter that runs this."""
    return sys.executable
