"""The display of a running task: the plain log, a progress bar below it, or JSON lines.

The log is the standard output of the task and its supervisor, as in the container. A bar needs the
last line of the terminal, so the log then goes through a pipe and is printed above the bar; with
JSON the log goes to standard error.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

Show = Callable[[float], None]
"""A function that is called with the finished fraction, 0 to 1."""


@dataclass(frozen=True)
class Work:
    """The amount of work of a run in `images` or `iterations`; 0 if it is not known yet."""

    amount: int = 0
    unit: str = ""


MAIN_SHARE = 0.97
"""Share of the progress for images or iterations; the rest is opening and writing."""

_JSON_INTERVAL_S = 1.0
_DRAIN_S = 5.0


def wants_bar() -> bool:
    """Whether the output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def plain() -> Iterator[Show]:
    """Show only the log."""
    yield lambda fraction: None


@contextmanager
def bar(title: str, work: Work, *, on: int = 1) -> Iterator[Show]:
    """Show the log, and below it a bar with progress, speed and remaining time.

    on  the descriptor of the terminal: 2 leaves standard output alone, which is not on the terminal
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    terminal = os.fdopen(os.dup(on), "w", encoding="utf-8", errors="backslashreplace")
    console = Console(file=terminal, force_terminal=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:5.1f} %  {task.fields[pace]}"),
        TimeElapsedColumn(),
    )
    drawn = Progress(*columns, console=console, expand=True, redirect_stdout=False)
    line = drawn.add_task(title, total=1.0, pace="")
    pace = Pace(work)

    def show(fraction: float) -> None:
        pace.note(fraction)
        drawn.update(line, completed=fraction, pace=pace.text())

    def print_line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with terminal, drawn, _piped(print_line, (1, 2) if on == 1 else (2,)):
        yield show


@contextmanager
def json_lines(work: Work) -> Iterator[tuple[Show, Callable[[dict[str, Any]], None]]]:
    """Write the log to standard error, and the arguments of both functions to standard output, one
    JSON object a line.
    """
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    kept = os.dup(1)
    sys.stdout.flush()
    os.dup2(2, 1)
    pace, last = Pace(work), 0.0

    def write(content: dict[str, Any]) -> None:
        print(json.dumps(content, ensure_ascii=False), file=stream, flush=True)

    def show(fraction: float) -> None:
        nonlocal last
        pace.note(fraction)
        now = time.monotonic()
        if now - last >= _JSON_INTERVAL_S or fraction >= 1.0:
            last = now
            write({"event": "progress", "fraction": round(fraction, 4), **pace.numbers()})

    with stream:
        try:
            yield show, write
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)


class Pace:
    """The speed of a task, from the reports of the last minute."""

    WINDOW_S = 60.0
    LEAST_S = 2.0  # a shorter time gives no reliable rate

    def __init__(self, work: Work, clock: Callable[[], float] = time.monotonic) -> None:
        self._work = work
        self._clock = clock
        self._start = clock()
        self._seen: list[tuple[float, float]] = []

    def note(self, fraction: float) -> None:
        """Note that the task is at `fraction` now."""
        now = self._clock()
        self._seen.append((now, fraction))
        while len(self._seen) > 2 and now - self._seen[0][0] > self.WINDOW_S:
            del self._seen[0]

    @property
    def per_second(self) -> float:
        """Share of the work that is done in a second; 0 if it is not known yet."""
        if not self._seen:
            return 0.0
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end - start) if end - start >= self.LEAST_S else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the end; None if they are not known yet."""
        if not self._seen or self.per_second <= 0:
            return None
        end, fraction = self._seen[-1]
        return max((1.0 - fraction) / self.per_second - (self._clock() - end), 0.0)

    def numbers(self) -> dict[str, Any]:
        """Return rate, unit, elapsed and remaining seconds for programs."""
        left = self.left_s
        rate, unit = self._rate()
        return {
            "rate": None if left is None else round(rate, 4),
            "unit": unit,
            "elapsed_s": round(self._clock() - self._start, 1),
            "left_s": None if left is None else round(left, 1),
        }

    def _rate(self) -> tuple[float, str]:
        """Return the rate and its unit."""
        if self._work.amount:
            return self.per_second * self._work.amount / MAIN_SHARE, f"{self._work.unit}/s"
        return 6000 * self.per_second, "%/min"

    def text(self) -> str:
        """Return a text for people such as `12.5 images/s, 0:12:30 left`."""
        left = self.left_s
        if left is None:
            return ""
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        rate, unit = self._rate()
        return f"{rate:.1f} {unit}, {hours}:{minutes:02}:{seconds:02} left"


@contextmanager
def _piped(print_line: Callable[[str], None], descriptors: Sequence[int]) -> Iterator[None]:
    """Pass each line that this process and its children write to these descriptors on."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in descriptors}
    for number in kept:
        os.dup2(writer, number)
    os.close(writer)
    stream = os.fdopen(reader, encoding="utf-8", errors="backslashreplace")
    thread = threading.Thread(target=_hand_over, args=(stream, print_line), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in kept.items():
            os.dup2(descriptor, number)
            os.close(descriptor)
        # A process that outlives the task may keep the pipe open.
        thread.join(_DRAIN_S)


def _hand_over(stream: TextIO, print_line: Callable[[str], None]) -> None:
    for line in stream:
        print_line(line.rstrip("\n"))
