"""The data path side by side: from files to network inputs, on one thread.

A round reads, decodes and resizes the same photographs with each engine. Afterwards the pixels are
compared.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.data_worker import READERS
from benchmarks.speed.engines import EngineSpec
from benchmarks.speed.report import described, speedup
from benchmarks.speed.side_by_side import ended_at_last, start, summary, take_turns
from benchmarks.speed.verb import Options, Parser, add_engines, add_images, specs

KIND = "data path"


def add_options(parser: Parser) -> None:
    """Options for the engines, the photographs and their size."""
    add_engines(parser, READERS)
    add_images(parser)
    parser.add_argument("--short", type=int, default=800)
    parser.add_argument("--max", type=int, default=1333)
    parser.add_argument("--rounds", type=int, default=5)


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """One record."""
    yield measure(
        options.image,
        specs(options),
        short=options.short,
        max_size=options.max,
        rounds=options.rounds,
    )


describe = described


def measure(
    images: Sequence[Path],
    specs: Sequence[EngineSpec],
    *,
    short: int,
    max_size: int,
    rounds: int,
) -> dict[str, Any]:
    """The content of a `data path` record."""
    files = [str(image.resolve()) for image in images]
    with ended_at_last([]) as workers, tempfile.TemporaryDirectory() as folder:
        for spec in specs:
            arguments = [spec.kind, str(short), str(max_size), *files]
            workers.append(start(spec, "data_worker", arguments, threads=1))
            workers[-1].answer()
        take_turns(workers, rounds=rounds)
        gaps = [_NO_GAP]
        for number, worker in enumerate(workers):
            worker.ask(f"save {folder}/{number}")
            if number:
                gaps.append(_gap(Path(folder) / "0", Path(folder) / str(number)))
        summaries = [summary(worker, workers[0]) for worker in workers]
    rows = [
        _row(of_engine, len(files), gap) for of_engine, gap in zip(summaries, gaps, strict=True)
    ]
    return {
        "key": short,
        "title": f"Data path: decode and resize to {short} px, one thread",
        "columns": [
            *("engine", "images/s", "CPU ms/image", "speed-up", "by CPU time"),
            *("largest pixel difference", "values that differ"),
        ],
        "rows": rows,
        "notes": f"{len(files)} photographs as files (in the page cache), {rounds} rounds that "
        "alternate; from path to the tensor that the network is given: uint8 in channels-last "
        "memory (ours; the network's device makes floats of it), float32 channels-first "
        "(detectron2, as its `DefaultPredictor`).",
        "engines": summaries,
    }


_NO_GAP = ("", "")


def _row(of_engine: dict[str, Any], num_images: int, gap: tuple[str, str]) -> list[str]:
    return [
        of_engine["label"],
        f"{num_images / of_engine['median_s']:.0f}",
        f"{1000 * of_engine['cpu_s'] / num_images:.1f}",
        speedup(of_engine),
        f"{of_engine['cpu_speedup']:.2f}",
        *gap,
    ]


def _gap(expected: Path, found: Path) -> tuple[str, str]:
    """Largest difference of any value in levels, and the share of values that differ."""
    largest, different, total = 0, 0, 0
    for path in sorted(expected.glob("*.npy")):
        one, other = np.load(path), np.load(found / path.name)
        difference = np.abs(one.astype(np.int16) - other)
        largest = max(largest, int(difference.max()))
        different += int((difference > 0).sum())
        total += difference.size
    return str(largest), f"{100 * different / total:.2f} %"
