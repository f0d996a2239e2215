"""Means and intervals of recorded trainings as a table."""

import math
import statistics
from collections.abc import Iterable, Sequence

from verification.json_lines import Record

T_95 = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Runs -> the two-sided 95 % quantile of Student's t for their mean."""


COLUMNS = ["set", "minutes", "arm", "seeds", "val AP", "val AP50", "test AP", "test AP50"]


def rows(records: Iterable[Record]) -> list[list[str]]:
    """A row of cells for each set, length and arm, sorted."""
    groups: dict[tuple[str, float, str, bool], list[Record]] = {}
    for record in records:
        key = (record["set"], record["minutes"], record["arm"], record["final"])
        groups.setdefault(key, []).append(record)
    return [
        [
            name,
            f"{minutes:g}",
            f"{arm} (train + val)" if final else arm,
            str(len(runs)),
            *(_spread(runs, split, m) for split in ("val", "test") for m in ("AP", "AP50")),
        ]
        for (name, minutes, arm, final), runs in sorted(groups.items())
    ]


def _spread(runs: Sequence[Record], split: str, metric: str) -> str:
    """The mean and half of its 95 % interval; '-' where it was not measured."""
    values = [run[split][metric] for run in runs if split in run]
    if not values:
        return "-"
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    half = T_95[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.1f} ± {half:.1f}"
