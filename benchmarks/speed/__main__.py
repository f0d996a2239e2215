"""python -m benchmarks.speed VERB ...

    infer     engines side by side, from image to detections
    floor     arithmetic of each model over the fastest kernel of this machine
    accuracy  average precision of a trained model in each precision
    report    the page docs/performance.md made of records, on standard output

Records are appended to `--records` (benchmarks/speed/records.jsonl).
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed import accuracy, floor, infer, records, report
from benchmarks.speed.engines import CONFIGS, EngineSpec, Task

RECORDS = Path(__file__).with_name("records.jsonl")


def main(arguments: list[str]) -> None:
    """Do one verb."""
    options = _parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], None] = options.run
    verb(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    side = verbs.add_parser("infer", help="engines side by side")
    side.add_argument("--engine", action="append", required=True, metavar="KIND[:PREC][=PYTHON]")
    side.set_defaults(run=_infer)
    near = verbs.add_parser("floor", help="how near the machine's limit")
    near.add_argument("--precision", action="append", help="default: fp32 and bf16")
    near.set_defaults(run=_floor)
    for verb in (side, near):
        verb.add_argument("--config", action="append", choices=list(CONFIGS), required=True)
        verb.add_argument("--short", type=int, default=800)
        verb.add_argument("--max", type=int, help="default: 5/3 of --short, as 1333 for 800")
        verb.add_argument("--image", type=Path, required=True)
        verb.add_argument("--rounds", type=int, default=7)
        verb.add_argument("--threads", type=int, default=2)
        verb.add_argument("--records", type=Path, default=RECORDS)
    exact = verbs.add_parser("accuracy", help="average precision by precision")
    exact.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    exact.add_argument("--data", type=Path, required=True, help="folder that holds BCCD/")
    exact.add_argument("--precision", action="append", help="default: fp32 and bf16")
    exact.add_argument("--records", type=Path, default=RECORDS)
    exact.set_defaults(run=_accuracy)
    page = verbs.add_parser("report", help="docs/performance.md")
    page.add_argument("files", type=Path, nargs="*", default=[RECORDS])
    page.set_defaults(run=_report)
    return parser


def _infer(options: argparse.Namespace) -> None:
    specs = [
        EngineSpec.parse(text, default_python=infer.default_python()) for text in options.engine
    ]
    for task in _tasks(options):
        content = infer.measure(task, options.image.resolve(), specs, rounds=options.rounds)
        records.append(options.records, "inference", content)
        sys.stdout.write(infer.describe(content) + "\n")
        sys.stdout.flush()


def _floor(options: argparse.Namespace) -> None:
    for task in _tasks(options):
        content = floor.measure(
            task,
            options.image,
            options.precision or ["fp32", "bf16"],
            rounds=options.rounds,
        )
        records.append(options.records, "floor", content)
        sys.stdout.write(f"{content}\n")
        sys.stdout.flush()


def _accuracy(options: argparse.Namespace) -> None:
    precisions = options.precision or ["fp32", "bf16"]
    content = accuracy.measure(options.model, options.data, precisions)
    records.append(options.records, "accuracy", content)
    sys.stdout.write(f"{content['rows']}\n")


def _tasks(options: argparse.Namespace) -> list[Task]:
    max_size = options.max or options.short * 1333 // 800
    return [Task(c, options.short, max_size, options.threads) for c in options.config]


def _report(options: argparse.Namespace) -> None:
    sys.stdout.write(report.page(records.load(options.files)))


if __name__ == "__main__":
    main(sys.argv[1:])
