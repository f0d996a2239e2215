"""python -m verification.mutants: change the product in one place at a time, and run its tests.

    python -m verification.mutants --seed 1 --count 200
    python -m verification.mutants --only KEY --tests tests/executor/test_env.py
    python -m verification.mutants --report > docs/mutants.md

Changes are made in copies of the repository below `build/mutants`; the tree itself is only read.
First, all tests that need no GPU and no network run once, to record which test runs which line.
This record and the verdicts are kept until the tree changes, so an interrupted run goes on.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from verification import REPOSITORY, json_lines
from verification.json_lines import Record
from verification.mutants.changes import Change, changes_of
from verification.mutants.judge import KILLED, SURVIVED, Verdict, judge, run_tests
from verification.mutants.report import killed_share, page
from verification.mutants.rooms import ROOMS
from verification.mutants.selection import Selection
from verification.mutants.trees import PROCESSES, make_trees, record_lines

RECORDS = Path(__file__).with_name("records.jsonl")


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for; 1 if too few changes were noticed."""
    parser = argparse.ArgumentParser(
        prog="python -m verification.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--least", type=float, default=0.9, help="share that must be noticed")
    parser.add_argument("--only", metavar="KEY", help="one change of the records")
    parser.add_argument("--tests", nargs="+", help="with --only: judged by these")
    parser.add_argument("--report", action="store_true", help="only print docs/mutants.md")
    options = parser.parse_args(arguments)
    if options.report:
        sys.stdout.write(page(json_lines.read(RECORDS)))
        return 0
    if options.only:
        return _one(options.only, options.tests)
    records = _judged(options.seed, options.count)
    others = [record for record in json_lines.read(RECORDS) if record["seed"] != options.seed]
    RECORDS.unlink(missing_ok=True)
    for record in sorted(others + records, key=lambda r: (r["seed"], r["file"], r["line"])):
        json_lines.append(RECORDS, record)
    share = killed_share(records)
    sys.stdout.write(f"seed {options.seed}: {100 * share:.1f} % noticed\n")
    return int(share < options.least)


def drawn(seed: int, count: int) -> list[Change]:
    """The changes of a seed; after edits of other lines they are mostly the same."""
    files = [path for room in ROOMS for path in sorted((REPOSITORY / room).rglob("*.py"))]
    found = [
        change
        for path in files
        for change in changes_of(path.relative_to(REPOSITORY).as_posix(), path.read_bytes())
    ]
    found.sort(key=lambda change: hashlib.sha256(f"{seed} {change.key}".encode()).digest())
    return found[:count]


def _judged(seed: int, count: int) -> list[Record]:
    """The records of the changes of a seed."""
    trees = make_trees()
    lines = record_lines(trees[0])
    selection = Selection(lines, trees[0])
    done_file = lines / f"seed-{seed}.jsonl"
    done = {record["key"]: record for record in json_lines.read(done_file)}
    changes = drawn(seed, count)
    for record in _verdicts(seed, [c for c in changes if c.key not in done], selection, trees):
        json_lines.append(done_file, record)
        done[record["key"]] = record
        sys.stdout.write(f"{record['outcome']:12} {record['file']}:{record['line']} ")
        sys.stdout.write(f"{record['function']}: {record['change']} ({record['seconds']} s)\n")
        sys.stdout.flush()
    return [done[change.key] for change in changes]


def _verdicts(
    seed: int, changes: Sequence[Change], selection: Selection, trees: Sequence[Path]
) -> Iterator[Record]:
    """The verdict on each change, as soon as it is known."""
    _import_what_is_large()
    context = get_context("fork")
    queue = context.Queue()
    for tree in trees:
        queue.put(tree)
    with ProcessPoolExecutor(PROCESSES, context, _take_tree, (queue,)) as pool:
        tasks = {}
        for change in changes:
            tests = selection.tests(change)
            seconds = {test: selection.seconds[test] for test in tests}
            tasks[pool.submit(_certain, change, tests, seconds)] = change
        for task in as_completed(tasks):
            yield _record(seed, tasks[task], task.result())


def _certain(change: Change, tests: Sequence[str], seconds: dict[str, float]) -> Verdict:
    """The verdict by tests that pass without the change; a test that fails then is left out."""
    verdict = judge(change, tests, seconds)
    if verdict.outcome != KILLED or _passes(verdict.test or tests[0]):
        return verdict
    assert verdict.test, f"the tests do not start: {tests[0]}"
    return _certain(change, [test for test in tests if test != verdict.test], seconds)


@cache
def _passes(test: str) -> bool:
    """Whether a test passes in a tree without changes."""
    return run_tests([test], limit_s=120.0)[0] == SURVIVED


def _record(seed: int, change: Change, verdict: Verdict) -> Record:
    return {
        "seed": seed,
        "key": change.key,
        "file": change.file,
        "line": change.line,
        "function": change.function,
        "change": change.shown(),
        "outcome": verdict.outcome,
        "test": verdict.test,
        "seconds": verdict.seconds,
    }


def _one(key: str, tests: list[str]) -> int:
    """Judge one change by tests of the tree as it is now."""
    trees = make_trees()
    _import_what_is_large()
    (change,) = [change for change in drawn(0, sys.maxsize) if change.key == key]
    os.chdir(trees[0])
    verdict = judge(change, tests, dict.fromkeys(tests, 60.0))
    sys.stdout.write(f"{change.shown()}: {verdict}\n")
    return 0


def _take_tree(trees: Any) -> None:
    os.chdir(trees.get())


def _import_what_is_large() -> None:
    """Import large packages once for all forks, but not the product, which changes afterwards."""
    import hypothesis.strategies  # noqa: F401
    import numpy  # noqa: F401
    import pydantic  # noqa: F401
    import torch
    import torchvision  # noqa: F401

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
