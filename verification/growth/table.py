"""Make a table from the records of `verification.growth`."""

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
    newest = latest(records)
    rows = [_row(record, newest.get((task, REFERENCE))) for (task, _), record in newest.items()]
    return HEAD + "".join(rows)


def latest(records: Sequence[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    """The last record of each task and length, in their order."""
    return dict(sorted({(record["task"], record["lines"]): record for record in records}.items()))


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
