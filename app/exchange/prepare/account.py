"""The account of a call: what was read, left out and written, for people and for programs."""

from typing import Any

from app.engine.data.datasets.account import table
from app.engine.data.datasets.filters import count_classes
from app.engine.data.problems import Effect
from app.exchange.prepare.data import SPLITS, Data
from app.exchange.prepare.request import PrepareRequest
from app.exchange.sources import Split
from common.text import printable

_SHOWN_SETS = {"test": "test (kept apart)"}


def account_of(data: Data, request: PrepareRequest, *, layout: str) -> dict[str, Any]:
    """The numbers for programs."""
    problems = data.reading.problems
    found: dict[str, Any] = {
        "source": layout,
        "folder": str(request.out),
        "images": {"listed": data.num_listed, "usable": len(data.records)},
        "problems": [
            {
                "what": kind,
                "number": number,
                "effect": effect.name.lower(),
                "examples": problems.examples(kind),
            }
            for effect in Effect
            for kind, number in problems.with_effect(effect).items()
        ],
    }
    if data.division is not None:
        found["division"] = data.division.how
        found["classes"] = list(data.reading.class_names)
        found["sets"] = {split: _numbers(data, split) for split in SPLITS}
    return found


def _numbers(data: Data, split: Split) -> dict[str, Any]:
    records, class_names = data.of(split), data.reading.class_names
    counts = count_classes(records, len(class_names)).tolist()
    return {
        "images": len(records),
        "images_without_objects": sum(len(record) == 0 for record in records),
        "objects": sum(map(len, records)),
        "objects_with_masks": sum(
            mask is not None for record in records for mask in record.segmentations or ()
        ),
        "objects_of_each_class": dict(zip(class_names, counts, strict=True)),
    }


def lines_of(data: Data, num_copies: int) -> list[str]:
    """The account for people."""
    reading = data.reading
    lines = [*map(printable, reading.remarks)]
    if data.division is None:
        lines.append(f"images listed  {data.num_listed}")
        lines.append(f"images usable  {len(data.records)}")
    else:
        kept = [record for split in SPLITS for record in data.of(split)]
        lines += table(data.num_listed, kept, reading)
        lines.append(f"images are divided {data.division.how}")
        lines += _set_table(data)
    lines += [f"note: {line}" for line in reading.problems.lines()]
    if num_copies:
        lines.append(f"{num_copies} images were copied, since they could not be linked")
    return lines


def _set_table(data: Data) -> list[str]:
    """One line for each set."""
    rows: list[tuple[str, ...]] = [("set", "images", "without objects", "objects", "with masks")]
    for split in SPLITS:
        if split == "test" and not data.of(split):
            continue
        numbers = list(_numbers(data, split).values())[:4]
        rows.append((_SHOWN_SETS.get(split, split), *map(str, numbers)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
