"""The records of `benchmarks.growth` as tables."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

HEAD = (
    "| task | lines | time | images/s | peak memory, shared pages once | peak RSS, summed"
    " | against 20,000 lines | SIGKILLs | done again | result |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)
REFERENCE = 20_000


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown for docs/reliability.md: one row for each task and length."""
    latest = _latest(records)
    rows = [_row(record, latest.get((task, REFERENCE))) for (task, _), record in latest.items()]
    return HEAD + "".join(rows)


def costs(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The content of a record of `benchmarks.speed`: what a line of the index costs."""
    return {
        "key": "images",
        "title": "Cost growth: number of images",
        "columns": [
            *("task", "images", "CPU s", "CPU ms/image"),
            *("peak memory, MB", "summed over processes, MB", "result, MB"),
        ],
        "rows": [_cost_row(record) for record in _latest(records).values()],
        "notes": "Whole tasks, start-up included, of all processes, on images of 64 pixels and a "
        "tiny model (`python -m benchmarks.growth`): what is left is the price of the pipeline. "
        "Peak memory: shared pages once; summed: in each process that has them.",
    }


def _latest(records: Sequence[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    """The last record of each task and length, in their order."""
    return dict(sorted({(record["task"], record["lines"]): record for record in records}.items()))


def _cost_row(record: dict[str, Any]) -> list[str]:
    return [
        record["task"],
        f"{record['lines']:,}",
        f"{record['cpu_s']:,.1f}",
        f"{1000 * record['cpu_s'] / record['lines']:.2f}",
        f"{record['peak_pss_mb']:,}",
        f"{record['peak_rss_mb']:,}",
        f"{record['result_mb']:,}",
    ]


def _row(record: dict[str, Any], reference: dict[str, Any] | None) -> str:
    growth = "-"
    if reference is not None:
        growth = f"{100 * (record['peak_rss_mb'] / reference['peak_rss_mb'] - 1):+.1f} %"
    pieces = record["pieces"]
    again = sum(before["finished"] - after["taken_over"] for before, after in pairwise(pieces))
    cells = [
        record["task"],
        f"{record['lines']:,}",
        f"{record['seconds']:,.0f} s",
        f"{record['lines'] / record['seconds']:,.0f}",
        f"{record['peak_pss_mb']:,} MB",
        f"{record['peak_rss_mb']:,} MB",
        growth,
        str(record["kills"]),
        f"{again} images",
        f"{record['result_mb']:,} MB",
    ]
    return f"| {' | '.join(cells)} |\n"
