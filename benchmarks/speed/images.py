"""How time and memory of whole tasks grow with the number of images.

`python -m verification.growth` does the runs; this module reads its records.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.report import described
from benchmarks.speed.verb import Options, Parser
from verification import json_lines
from verification.growth.table import latest

KIND = "growth"


def add_options(parser: Parser) -> None:
    """Option for the file of records."""
    parser.add_argument("--runs", type=Path, required=True, help="records of verification.growth")


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """One table: the cost of an image, for each task and length of the index."""
    yield {
        "key": "images",
        "title": "Cost growth: number of images",
        "columns": [
            *("task", "images", "CPU s", "CPU ms/image"),
            *("peak memory, MB", "summed over processes, MB", "result, MB"),
        ],
        "rows": [_row(run) for run in latest(json_lines.read(options.runs)).values()],
        "notes": "Whole tasks, start-up included, of all processes, on images of 64 pixels and a "
        "tiny model (`python -m verification.growth`): what is left is the price of the pipeline. "
        "Peak memory: shared pages once; summed: in each process that has them.",
    }


def describe(content: dict[str, Any]) -> str:
    """The table."""
    return described(content)


def _row(run: Mapping[str, Any]) -> list[str]:
    return [
        run["task"],
        f"{run['lines']:,}",
        f"{run['cpu_s']:,.1f}",
        f"{1000 * run['cpu_s'] / run['lines']:.2f}",
        f"{run['peak_pss_mb']:,}",
        f"{run['peak_rss_mb']:,}",
        f"{run['result_mb']:,}",
    ]
