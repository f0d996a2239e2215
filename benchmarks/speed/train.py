"""Training side by side: one step of each engine in each round, on the same labelled batch."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.engines import EngineSpec, Workload
from benchmarks.speed.side_by_side import Worker, ended_at_last, start, summary, take_turns
from benchmarks.speed.train_engines import MODULES
from benchmarks.speed.verb import (
    Options,
    Parser,
    add_engines,
    add_images,
    add_models,
    specs,
    workloads,
)

KIND = "training"


def add_options(parser: Parser) -> None:
    """Options for the engines, models, photographs and the batch size."""
    add_engines(parser, MODULES)
    add_models(parser, rounds=3)
    add_images(parser)
    parser.add_argument("--batch", type=int, default=2)


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """A record for each model."""
    engines = specs(options)
    for workload in workloads(options):
        yield measure(workload, options.image, engines, batch=options.batch, rounds=options.rounds)


def measure(
    workload: Workload,
    images: Sequence[Path],
    specs: Sequence[EngineSpec],
    *,
    batch: int,
    rounds: int,
) -> dict[str, Any]:
    """The content of a `training` record."""
    numbers = [str(n) for n in (workload.short, workload.max_size, workload.threads, batch)]
    files = [str(image.resolve()) for image in images]
    with ended_at_last([]) as workers:
        for spec in specs:
            arguments = [spec.kind, spec.precision, workload.config, *numbers, *files]
            workers.append(start(spec, "train_worker", arguments, threads=workload.threads))
            workers[-1].answer()
        take_turns(workers, rounds=rounds)
    return {
        "key": [workload.config, workload.short, workload.threads, batch],
        "config": workload.config,
        "short": workload.short,
        "max_size": workload.max_size,
        "threads": workload.threads,
        "batch": batch,
        "images": [image.name for image in images],
        "rounds": rounds,
        "load_average": os.getloadavg()[0],
        "engines": [summary(worker, workers[0]) | _losses(worker) for worker in workers],
    }


def _losses(worker: Worker) -> dict[str, Any]:
    """Losses of the first and the last counted step."""
    first, last = worker.runs[0]["losses"], worker.runs[-1]["losses"]
    return {"losses": last, "total": sum(last.values()), "first_total": sum(first.values())}


def describe(content: dict[str, Any]) -> str:
    """One line for each engine."""
    return "\n".join(
        f"{content['config']} {content['short']} px batch {content['batch']} {e['label']:12s} "
        f"{e['median_s']:.3f} s ({e['min_s']:.3f}-{e['max_s']:.3f}) x{e['speedup']:.2f} "
        f"({e['speedup_low']:.2f}-{e['speedup_high']:.2f}) cpu {e['cpu_s']:.2f} s "
        f"x{e['cpu_speedup']:.2f} {e['rss_mb']:.0f} MB "
        + " ".join(f"{name} {value:.5g}" for name, value in e["losses"].items())
        for e in content["engines"]
    )
