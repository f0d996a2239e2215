"""Text tables as in detectron2's logs: Markdown pipes, numbers with three decimals."""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

Cell = str | float | int | None

_MIN_PADDING = 2  # a column is wider than its header by at least this


def pipe_table(
    rows: Sequence[Sequence[Cell]], headers: Sequence[str], *, align: str = "center"
) -> str:
    """Return a Markdown table; `align` ('center' or 'left') applies to all columns."""
    text = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(len(header) + _MIN_PADDING, *(len(row[column]) for row in text), 0)
        for column, header in enumerate(headers)
    ]
    rule = [":" + "-" * width + (":" if align == "center" else "-") for width in widths]
    lines = [_line(headers, widths, align), "|" + "|".join(rule) + "|"]
    return "\n".join(lines + [_line(row, widths, align) for row in text])


def small_table(values: Mapping[str, float]) -> str:
    """Return a table with one row of numbers under their names."""
    return pipe_table([list(values.values())], list(values))


def per_class_table(values: Mapping[str, float], *, column: str = "AP") -> str:
    """Return a table of class names and numbers in up to three pairs of columns."""
    num_columns = min(6, 2 * len(values))
    cells: list[Cell] = list(chain.from_iterable(values.items()))
    rows = list(zip_longest(*(cells[i::num_columns] for i in range(num_columns))))
    return pipe_table(rows, ["category", column] * (num_columns // 2), align="left")


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int], align: str) -> str:
    padded = []
    for cell, width in zip(cells, widths, strict=True):
        left = (width - len(cell)) // 2 if align == "center" else 0
        padded.append((" " * left + cell).ljust(width))
    return "| " + " | ".join(padded) + " |"
