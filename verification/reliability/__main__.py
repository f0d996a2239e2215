"""Interrupt real runs, make their disk fail, and record the outcome.

    python -m verification.reliability kill --count 500 --records build/reliability.jsonl
    python -m verification.reliability stop --count 100 --records build/reliability.jsonl
    python -m verification.reliability disk --records build/reliability.jsonl
    python -m verification.reliability report build/reliability.jsonl > docs/reliability.md

`--seconds` ends a part early; with the same records, the next call goes on. The status is 1 if
anything was torn or lost. `report` runs the tests that it names.
"""

import argparse
import multiprocessing
import sys
from pathlib import Path

from verification import json_lines


def main(arguments: list[str]) -> int:
    """Do what the first argument asks for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m verification.reliability")
    parts = parser.add_subparsers(dest="part", required=True)
    for name, count in (("kill", 500), ("stop", 100)):
        part = parts.add_parser(name)
        part.add_argument("--count", type=int, default=count)
        part.add_argument("--workers", type=int, default=2)
        _add_common(part)
    _add_common(parts.add_parser("disk"))
    report = parts.add_parser("report")
    report.add_argument("records", type=Path, nargs="+")
    report.add_argument("--fuzz", type=Path, default=Path("build/fuzz.jsonl"))
    report.add_argument("--growth", type=Path, default=Path("build/growth.jsonl"))
    report.add_argument(
        "--junit", type=Path, nargs="+", help="outcomes of pytest -o junit_family=xunit1 --junitxml"
    )
    options = parser.parse_args(arguments)
    if options.part == "report":
        from verification.reliability.report import write_report

        return write_report(options.records, options.fuzz, options.growth, options.junit)
    if options.part == "disk":
        from verification.reliability.disk import fail_every_write

        return fail_every_write(options.records, options.scratch, options.seconds)
    return _interrupt(options)


def _add_common(part: argparse.ArgumentParser) -> None:
    part.add_argument("--records", type=Path, default=Path("build/reliability.jsonl"))
    part.add_argument("--scratch", type=Path, default=Path("build/reliability"))
    part.add_argument("--seconds", type=float, default=float("inf"))


def _interrupt(options: argparse.Namespace) -> int:
    from verification.reliability.signals import interrupt_runs

    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=interrupt_runs,
            args=(options.part, options.count, options.seconds),
            kwargs={
                "path": options.records,
                "scratch": (options.scratch / f"{options.part}-{number}").resolve(),
            },
        )
        for number in range(options.workers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done = json_lines.read(options.records)
    found = [record for record in done if record["kind"] == options.part]
    bad = [record for record in found if record["problems"]]
    print(f"{options.part}: {len(found)} of {options.count}, {len(bad)} with problems", flush=True)
    return int(bool(bad) or any(worker.exitcode for worker in workers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
