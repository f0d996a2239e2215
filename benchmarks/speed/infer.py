"""Inference side by side in rounds A B C A B C ..., so that a slow minute affects all engines.

A round calls each engine once, from image to detections. The speed-up over the first engine is the
median over rounds of the quotient within a round; its spread is the middle half of these quotients.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.engines import KINDS, EngineSpec, Workload
from benchmarks.speed.side_by_side import ended_at_last, start, summary, take_turns
from benchmarks.speed.verb import (
    Options,
    Parser,
    add_engines,
    add_image,
    add_models,
    specs,
    workloads,
)

KIND = "inference"


def add_options(parser: Parser) -> None:
    """Options for the engines, the models and the photograph."""
    add_engines(parser, KINDS)
    add_models(parser, rounds=7)
    add_image(parser)


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """A record for each model."""
    engines = specs(options)
    for workload in workloads(options):
        yield measure(workload, options.image.resolve(), engines, rounds=options.rounds)


def measure(
    workload: Workload, image: Path, specs: Sequence[EngineSpec], *, rounds: int
) -> dict[str, Any]:
    """The content of an `inference` record."""
    firsts = []
    with ended_at_last([]) as workers:
        for spec in specs:
            numbers = [str(n) for n in (workload.short, workload.max_size, workload.threads)]
            arguments = [spec.kind, spec.precision, workload.config, *numbers, str(image)]
            workers.append(start(spec, "worker", arguments, threads=workload.threads))
            workers[-1].answer()
            first_s = workers[-1].ask("run")["wall_s"]
            since_start_s = time.perf_counter() - workers[-1].started
            firsts.append({"first_s": first_s, "start_to_first_s": since_start_s})
        take_turns(workers, rounds=rounds)
        found = [worker.ask("detections") for worker in workers]
    exported = ["exported"] if any(spec.kind == "onnx" for spec in specs) else []
    return {
        "key": [workload.config, workload.short, workload.threads, *exported],
        "config": workload.config,
        "short": workload.short,
        "max_size": workload.max_size,
        "threads": workload.threads,
        "image": image.name,
        "rounds": rounds,
        "load_average": os.getloadavg()[0],
        "engines": [
            summary(worker, workers[0]) | of_first | _difference(detections, found[0])
            for worker, of_first, detections in zip(workers, firsts, found, strict=True)
        ],
    }


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Differences from the first engine's detections: same class, nearest box first."""
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
