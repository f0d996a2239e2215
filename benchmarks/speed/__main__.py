"""python -m benchmarks.speed VERB ...

    infer     engines side by side, from image to detections
    train     engines side by side, one training step of a batch
    data      engines side by side, from files to network inputs
    inputs    what Pillow's resizing costs an infer task
    evaluation  ways to average precision side by side
    throughput  images per second on a CPU or GPU by size of the batch, beside torchvision
    cost      how time and memory grow with classes, boxes and image size
    images    the same with the number of images, from the records of verification.growth
    savings   what each detour of app/engine/cpu gains: it is taken out
    floor     arithmetic of each model over the fastest kernel of this machine
    accuracy  average precision of a trained model in each precision
    pipeline  a whole infer task beside the model alone
    report    the page docs/performance.md made of records, on standard output

Records are appended to `--records` (benchmarks/speed/records.jsonl).
"""

import argparse
import sys
from pathlib import Path

from benchmarks.speed import (
    accuracy,
    cost_growth,
    data,
    evaluation,
    floor,
    images,
    infer,
    inputs,
    pipeline,
    records,
    report,
    savings,
    throughput,
    train,
)
from benchmarks.speed.verb import Options, Parser, Verb

VERBS: dict[str, Verb] = {
    "infer": infer,
    "train": train,
    "data": data,
    "inputs": inputs,
    "evaluation": evaluation,
    "throughput": throughput,
    "cost": cost_growth,
    "images": images,
    "savings": savings,
    "floor": floor,
    "accuracy": accuracy,
    "pipeline": pipeline,
}
"""Those that measure."""


def main(arguments: list[str]) -> None:
    """Run one verb."""
    parser = Parser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    for name, module in VERBS.items():
        verb = verbs.add_parser(name)
        module.add_options(verb)
        verb.add_argument("--records", type=Path, default=records.RECORDS)
    page = verbs.add_parser("report")
    page.add_argument("files", type=Path, nargs="*", default=[records.RECORDS])
    options = parser.parse_args(arguments)
    if options.verb == "report":
        sys.stdout.write(report.page(records.load(options.files)))
    else:
        _measure(VERBS[options.verb], options)


def _measure(module: Verb, options: Options) -> None:
    """Record and print the measurements of a verb."""
    for content in module.contents(options):
        records.append(options.records, module.KIND, content)
        sys.stdout.write(module.describe(content) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
