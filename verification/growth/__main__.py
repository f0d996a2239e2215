"""python -m verification.growth: real runs of long indexes, killed and started again.

    python -m verification.growth --lines 200000 --tasks infer --records growth.jsonl
    python -m verification.growth --table growth.jsonl

A run that takes longer than `--piece-s` seconds is killed by SIGKILL, with all its processes, and
started again until it is done (with `--once` by the next call: this one then ends with status 75).
The records get one line of JSON for each run. `python -m benchmarks.speed images` makes a table of
docs/performance.md from them.
"""

import argparse
import json
import platform
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from common.host_limits import cpu_count
from executor.journal import OPEN, journal_path
from executor.shard_file import read_groups
from verification.growth.inputs import BATCH_SIZE, make_inputs
from verification.growth.table import table
from verification.growth.watch import Watched, watch
from verification.json_lines import append, read

INCOMPLETE = 75
RESULTS = {"infer": "infer-result.json", "mining": "result.tsv"}
WORKERS = 1


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m verification.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lines", type=int, nargs="+", default=[1000, 20_000, 200_000])
    parser.add_argument("--tasks", nargs="+", default=["infer", "mining"])
    parser.add_argument("--algorithm", default="entropy")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/growth"))
    parser.add_argument("--records", type=Path, default=Path("growth.jsonl"))
    parser.add_argument("--piece-s", type=float, default=150.0)
    parser.add_argument("--once", action="store_true", help="one piece a call")
    parser.add_argument("--table", type=Path, help="only render these records")
    options = parser.parse_args(arguments)
    if options.table is not None:
        sys.stdout.write(table(read(options.table)))
        return 0
    for num_lines in options.lines:
        for task in options.tasks:
            settings = {"num_workers": WORKERS, "image_size": 0, "conf_threshold": 0.1}
            if task == "mining":
                settings["mining_algorithm"] = options.algorithm
            folder = options.folder / f"{task}-{num_lines}"
            record = _measure(folder, task, num_lines, settings, options)
            if record is None:
                return INCOMPLETE
            append(options.records, record)
    return 0


def _measure(
    folder: Path, task: str, num_lines: int, settings: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any] | None:
    """The record of one run, with all its pieces; None when `--once` left it unfinished."""
    env_file = folder / "in" / "env.yaml"
    if not env_file.exists():
        make_inputs(folder, task=task, num_lines=num_lines, settings=settings)
    state = folder / "pieces.jsonl"
    while True:
        piece = _piece(folder, task, watch(env_file, kill_after_s=options.piece_s))
        append(state, piece)
        sys.stderr.write(f"{task} {num_lines}: {piece}\n")
        if piece["status"] == 0:
            break
        assert piece["status"] == -9, f"see {env_file.with_name('log.txt')}"
        if options.once:
            return None
    pieces = read(state)
    state.unlink()
    _check(folder, task, num_lines, pieces)
    return {
        "task": task if task == "infer" else f"mining ({settings['mining_algorithm']})",
        "lines": num_lines,
        "seconds": round(sum(piece["seconds"] for piece in pieces), 1),
        "cpu_s": round(sum(piece["cpu_s"] for piece in pieces), 1),
        "peak_rss_mb": max(piece["peak_rss_mb"] for piece in pieces),
        "peak_pss_mb": max(piece["peak_pss_mb"] for piece in pieces),
        "kills": len(pieces) - 1,
        "result_mb": round((folder / "out" / RESULTS[task]).stat().st_size / 1e6, 1),
        "pieces": pieces,
        "machine": f"{cpu_count()} cores of {platform.processor() or platform.machine()}",
        "torch": torch.__version__,
        "batch_size": BATCH_SIZE,
        "num_workers": WORKERS,
    }


def _piece(folder: Path, task: str, found: Watched) -> dict[str, Any]:
    """Run one process tree and measure it; `finished` counts images in the journal at its end."""
    earlier = re.search(r"([\d,]+) of [\d,]+ images were finished", found.log)
    path = journal_path(folder / "out", task)
    return {
        "status": found.status,
        "seconds": round(found.seconds, 1),
        "cpu_s": round(found.cpu_s, 1),
        "peak_rss_mb": round(max(found.rss_mb)),
        "peak_pss_mb": round(max(found.pss_mb)),
        "rss_mb": [round(value) for value in found.rss_mb[:: max(len(found.rss_mb) // 20, 1)]],
        "taken_over": int(earlier[1].replace(",", "")) if earlier else 0,
        "finished": _journal_length(path) if path.exists() else None,
    }


def _journal_length(path: Path) -> int:
    """Number of finished entries in a journal whose run has ended."""
    with path.open("rb") as stream:
        head = stream.readline()
    return sum(len(group.marks) - group.marks.count(OPEN) for group in read_groups(path, head))


def _check(folder: Path, task: str, num_lines: int, pieces: list[dict[str, Any]]) -> None:
    """Check that the result has each image once, and that no piece repeats finished images."""
    for before, after in pairwise(pieces):
        assert after["taken_over"] == before["finished"] > 0, "finished images were done again"
    path = folder / "out" / RESULTS[task]
    if task == "infer":
        assert len(json.loads(path.read_text("utf-8"))["detection"]) == num_lines
    else:
        with path.open(encoding="utf-8") as stream:
            assert len({line.split("\t")[0] for line in stream}) == num_lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
