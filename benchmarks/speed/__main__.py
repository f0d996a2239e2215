"""python -m benchmarks.speed VERB ...

    infer     engines side by side, from image to detections
    train     engines side by side, one training step of a batch
    data      engines side by side, from files to network inputs
    evaluation  ways to average precision side by side
    growth    cost against classes, boxes and image size
    savings   work left out that no detection depends on
    floor     arithmetic of each model over the fastest kernel of this machine
    accuracy  average precision of a trained model in each precision
    pipeline  a whole infer task beside the model alone
    report    the page docs/performance.md made of records, on standard output

Records are appended to `--records` (benchmarks/speed/records.jsonl).
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed import (
    accuracy,
    cost_growth,
    data,
    data_worker,
    evaluation,
    evaluation_worker,
    floor,
    infer,
    pipeline,
    records,
    report,
    savings,
    train,
    train_engines,
)
from benchmarks.speed.engines import CONFIGS, KINDS, EngineSpec, Task

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
    side.set_defaults(run=_infer, kinds=KINDS)
    step = verbs.add_parser("train", help="training steps side by side")
    step.add_argument("--engine", action="append", required=True, metavar="KIND[:PREC][=PYTHON]")
    step.add_argument("--batch", type=int, default=2)
    step.set_defaults(run=_train, kinds=train_engines.MODULES)
    near = verbs.add_parser("floor", help="how near the machine's limit")
    near.add_argument("--precision", action="append", help="default: fp32 and bf16")
    near.set_defaults(run=_floor)
    for verb in (side, step, near):
        verb.add_argument("--config", action="append", choices=list(CONFIGS), required=True)
        verb.add_argument("--short", type=int, default=800)
        verb.add_argument("--max", type=int, help="default: 5/3 of --short, as 1333 for 800")
        photographs = {"nargs": "+"} if verb is step else {}
        verb.add_argument("--image", type=Path, required=True, **photographs)
        verb.add_argument("--rounds", type=int, default=3 if verb is step else 7)
        verb.add_argument("--threads", type=int, default=2)
        verb.add_argument("--records", type=Path, default=RECORDS)
    reading = verbs.add_parser("data", help="files to network inputs, side by side")
    reading.add_argument("--image", type=Path, nargs="+", required=True)
    reading.add_argument("--short", type=int, default=800)
    reading.add_argument("--max", type=int, default=1333)
    reading.add_argument("--rounds", type=int, default=5)
    reading.set_defaults(run=_data, kinds=data_worker.READERS)
    judging = verbs.add_parser("evaluation", help="ways to average precision")
    judging.add_argument("--num-images", type=int, default=5000)
    judging.set_defaults(run=_evaluation, kinds=evaluation_worker.WAYS)
    for verb in (reading, judging):
        verb.add_argument("--engine", action="append", required=True, metavar="KIND[=PYTHON]")
        verb.add_argument("--records", type=Path, default=RECORDS)
    growing = verbs.add_parser("growth", help="cost against classes, boxes, image size")
    growing.add_argument("--model", action="append", choices=list(cost_growth.MODELS))
    growing.add_argument("--axis", action="append", choices=list(cost_growth.AXES))
    growing.add_argument("--repeats", type=int, default=3)
    growing.add_argument("--records", type=Path, default=RECORDS)
    growing.set_defaults(run=_growth)
    less = verbs.add_parser("savings", help="work left out that no detection depends on")
    less.add_argument("--image", type=Path, required=True)
    less.add_argument("--short", type=int, default=800)
    less.add_argument("--rounds", type=int, default=5)
    less.add_argument("--records", type=Path, default=RECORDS)
    less.set_defaults(run=_savings)
    exact = verbs.add_parser("accuracy", help="average precision by precision")
    exact.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    exact.add_argument("--data", type=Path, required=True, help="folder that holds BCCD/")
    exact.add_argument(
        "--precision", action="append", help="onnx:fp32 and onnx:int8, too; default: fp32 and bf16"
    )
    exact.add_argument("--records", type=Path, default=RECORDS)
    exact.set_defaults(run=_accuracy)
    flow = verbs.add_parser("pipeline", help="a whole infer task beside the model alone")
    flow.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    flow.add_argument("--images", type=Path, required=True, help="folder of JPEGs")
    flow.add_argument("--count", type=int, default=2000)
    flow.add_argument("--backend", choices=["torch", "onnxruntime"], default="torch")
    flow.add_argument("--precision", default="fp32")
    flow.add_argument("--records", type=Path, default=RECORDS)
    flow.set_defaults(run=_pipeline)
    page = verbs.add_parser("report", help="docs/performance.md")
    page.add_argument("files", type=Path, nargs="*", default=[RECORDS])
    page.set_defaults(run=_report)
    return parser


def _infer(options: argparse.Namespace) -> None:
    specs = _specs(options)
    for task in _tasks(options):
        content = infer.measure(task, options.image.resolve(), specs, rounds=options.rounds)
        records.append(options.records, "inference", content)
        sys.stdout.write(infer.describe(content) + "\n")
        sys.stdout.flush()


def _train(options: argparse.Namespace) -> None:
    specs = _specs(options)
    for task in _tasks(options):
        content = train.measure(
            task, options.image, specs, batch=options.batch, rounds=options.rounds
        )
        records.append(options.records, "training", content)
        sys.stdout.write(train.describe(content) + "\n")
        sys.stdout.flush()


def _data(options: argparse.Namespace) -> None:
    content = data.measure(
        options.image,
        _specs(options),
        short=options.short,
        max_size=options.max,
        rounds=options.rounds,
    )
    _keep(options, "data path", content)


def _evaluation(options: argparse.Namespace) -> None:
    content = evaluation.measure(_specs(options), num_images=options.num_images)
    _keep(options, "evaluation", content)


def _growth(options: argparse.Namespace) -> None:
    for model in options.model or cost_growth.MODELS:
        for axis in options.axis or cost_growth.AXES:
            _keep(options, "growth", cost_growth.measure(model, axis, repeats=options.repeats))


def _savings(options: argparse.Namespace) -> None:
    content = savings.measure(options.image, short=options.short, rounds=options.rounds)
    _keep(options, "savings", content)


def _keep(options: argparse.Namespace, kind: str, content: Mapping[str, Any]) -> None:
    records.append(options.records, kind, content)
    lines = [content["title"], *report.table(content["columns"], content["rows"])]
    sys.stdout.write("\n".join([*lines, content["notes"], ""]))
    sys.stdout.flush()


def _specs(options: argparse.Namespace) -> list[EngineSpec]:
    return [EngineSpec.parse(text, options.kinds) for text in options.engine]


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


def _pipeline(options: argparse.Namespace) -> None:
    content = pipeline.measure(
        pipeline.model_files(options.model),
        options.images,
        count=options.count,
        backend=options.backend,
        precision=options.precision,
    )
    _keep(options, "pipeline", content)


def _tasks(options: argparse.Namespace) -> list[Task]:
    max_size = options.max or options.short * 1333 // 800
    return [Task(c, options.short, max_size, options.threads) for c in options.config]


def _report(options: argparse.Namespace) -> None:
    sys.stdout.write(report.page(records.load(options.files)))


if __name__ == "__main__":
    main(sys.argv[1:])
