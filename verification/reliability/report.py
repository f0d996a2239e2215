"""Write docs/reliability.md from the records, the fuzzer's counts and a run of the tests."""

import os
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from verification import json_lines
from verification.growth.table import table as growth_table
from verification.reliability.faults import GROUPS, Fault
from verification.reliability.outcomes import Outcome, observed, read_junit, run_tests
from verification.reliability.trees import CHECKPOINT_PERIOD

_HEAD = """# Reliability

Written by `python -m verification.reliability report RECORDS...`; do not edit.
"""


def write_report(
    paths: Sequence[Path], fuzz: Path, growth: Path, junit: Sequence[Path] | None
) -> int:
    """Print the report; 1 if it shows any fault."""
    if junit is None:
        outcomes = run_tests()
    else:
        outcomes = [outcome for path in junit for outcome in read_junit(path)]
    lines = [
        _HEAD,
        *_machine(),
        *_interruptions(json_lines.read(*paths)),
        *_disk(json_lines.read(*paths)),
        *_growth(growth),
        *_fuzz(fuzz),
        *_faults(outcomes),
    ]
    text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    return int("**" in text)


def _machine() -> Iterator[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    yield (
        f"Machine: {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}; Python "
        f"{platform.python_version()}, torch {torch.__version__}.\n"
    )


def _interruptions(found: list[json_lines.Record]) -> Iterator[str]:
    kills = [record for record in found if record["kind"] == "kill"]
    stops = [record for record in found if record["kind"] == "stop"]
    yield f"""## Kills and stops of real runs

`python -m app.start` on real folders: a small RetinaNet, images of 64 x 96 pixels, a checkpoint
every {CHECKPOINT_PERIOD} iterations. An interrupted run is started again on the same /out until the
task is done. After each interruption monitor.txt, result.yaml with the files of its stages, the
checkpoint, infer-result.json and result.tsv are read: each must be whole, and none that existed
before may be missing or older. `python -m verification.reliability kill` and `stop`.

| | training | mining | infer | all |
| --- | --- | --- | --- | --- |
{_row("SIGKILL to all processes at a random instant", kills)}
{_row("... files torn, stages or results lost, processes left", kills, bad=True)}
{_row("SIGTERM at a random instant", stops)}
{_row("... torn, lost, left, or not ended with 143 (0: it was done)", stops, bad=True)}
"""
    if kills:
        again = [record["redone"] for record in kills if record["task"] == "training"]
        yield (
            f"Iterations done again after a kill: at most {max(again, default=0)} (one checkpoint "
            f"interval is {CHECKPOINT_PERIOD}). Phases hit: {_phases(kills)}.\n"
        )
    if stops:
        seconds = sorted(record["seconds"] for record in stops)
        yield (
            f"Seconds from SIGTERM to the end: median {statistics.median(seconds):.2f}, p99 "
            f"{_percentile(seconds, 0.99):.2f}, longest {seconds[-1]:.2f}. Phases hit: "
            f"{_phases(stops)}. Statuses: {_counted(stops, 'exit')} (-15: before the first line "
            "of Python ran; a shell calls it 143).\n"
        )


def _row(title: str, found: list[json_lines.Record], *, bad: bool = False) -> str:
    chosen = [record for record in found if record["problems"]] if bad else found
    counts = [sum(r["task"] == task for r in chosen) for task in ("training", "mining", "infer")]
    cells = [str(count) for count in (*counts, sum(counts))]
    return f"| {title} | " + " | ".join(f"**{c}**" if bad and c != "0" else c for c in cells) + " |"


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _phases(found: list[json_lines.Record]) -> str:
    return _counted(found, "phase")


def _counted(found: list[json_lines.Record], key: str) -> str:
    counts: dict[str, int] = defaultdict(int)
    for record in found:
        counts[str(record[key])] += 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number}" for name, number in ordered)


def _disk(found: list[json_lines.Record]) -> Iterator[str]:
    found = [record for record in found if record["kind"] == "disk"]
    yield """## A disk that fails at the n-th write

Each call that creates, writes, flushes, renames or links something below /out fails in one run
(EIO), and in another run the disk stays full from that call on (ENOSPC), with half the data
written. Each run must end with status 0 or 8 and leave no torn file; every tenth is then started
again on a working disk and must finish. `python -m verification.reliability disk`.

| run | fault | calls | done nevertheless (0) | "/out is full or broken" (8) | anything else |
| --- | --- | --- | --- | --- | --- |"""
    groups: dict[tuple[str, str], list[json_lines.Record]] = defaultdict(list)
    for record in found:
        groups[record["task"], record["fault"]].append(record)
    for (task, fault), members in groups.items():
        total = members[-1]["of"]
        calls = str(total) if len(members) >= total else f"**{len(members)} of {total}**"
        exits = [sum(record["exit"] == status for record in members) for status in (0, 8)]
        bad = sum(bool(record["problems"]) for record in members)
        cells = [task, fault, calls, *map(str, exits), f"**{bad}**" if bad else "0"]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _growth(path: Path) -> Iterator[str]:
    yield f"""## Long inputs

A few images under many names, and a tiny model; a run that lasts longer than some minutes is killed
by SIGKILL and started again on the same /out until it is done. Other work shared the machine, so
memory and counts are reliable, but times are not. `python -m verification.growth`.

{growth_table(json_lines.read(path))}"""


def _fuzz(path: Path) -> Iterator[str]:
    latest = {record["parser"]: record for record in json_lines.read(path)}
    inputs = sum(record["inputs"] for record in latest.values())
    unexplained = sum(record["unexplained"] for record in latest.values())
    shown = f"**{unexplained}**" if unexplained else "0"
    yield f"""## Hostile input

Mutations of valid files, and noise, for {len(latest)} parsers: {inputs} inputs, of which {shown}
ended neither in a value nor in one of our errors. `python -m verification.fuzz`.

| parser | inputs | unexplained | seconds |
| --- | --- | --- | --- |"""
    for name, record in sorted(latest.items()):
        yield f"| {name} | {record['inputs']} | {record['unexplained']} | {record['seconds']} |"
    yield ""


def _faults(outcomes: list[Outcome]) -> Iterator[str]:
    yield "## Faults injected by tests\n"
    for group, faults in GROUPS.items():
        yield f"### {group}\n\n| fault | expected | observed | tests |\n| --- | --- | --- | --- |"
        for fault in faults:
            yield _fault(fault, outcomes)
        yield ""


def _fault(fault: Fault, outcomes: list[Outcome]) -> str:
    seen = observed(fault.tests, outcomes) if fault.tests else "does not apply"
    tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in fault.tests)
    return f"| {fault.name} | {fault.expected} | {seen} | {tests} |"
