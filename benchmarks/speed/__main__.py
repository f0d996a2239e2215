"""python -m benchmarks.speed VERB ...

    infer     engines side by side, from image to detections
    train     engines side by side, one training step of a batch
    data      engines side by side, from files to network inputs
    evaluation  ways to average precision side by side
    throughput  images per second on a CPU or GPU by size of the batch, beside torchvision
    cost      how time and memory grow with classes, boxes and image size
    savings   work left out that no detection depends on
    floor     arithmetic of each model over the fastest kernel of this machine
    accuracy  average precision of a trained model in each precision
    pipeline  a whole infer task beside the model alone
    report    the page docs/performance.md made of records, on standard output

Records are appended to `--records` (benchmarks/speed/records.jsonl).
"""

import argparse
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from app.engine.layers.prepare import PRECISIONS
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
    throughput,
    train,
    train_engines,
)
from benchmarks.speed.engines import CONFIGS, KINDS, EngineSpec, Task

Options = argparse.Namespace
Parser = argparse.ArgumentParser


def main(arguments: list[str]) -> None:
    """Do one verb."""
    parser = Parser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, (add_options, run) in VERBS.items():
        verb = verbs.add_parser(name)
        verb.set_defaults(run=run)
        add_options(verb)
        if run is not _report:
            verb.add_argument("--records", type=Path, default=records.RECORDS)
    options = parser.parse_args(arguments)
    options.run(options)


def _add_models(verb: Parser, *, rounds: int = 0) -> None:
    verb.add_argument("--config", action="append", choices=list(CONFIGS), required=True)
    verb.add_argument("--short", type=int, default=800)
    verb.add_argument("--max", type=int, help="default: 5/3 of --short, as 1333 for 800")
    if rounds:
        verb.add_argument("--rounds", type=int, default=rounds)
    verb.add_argument("--threads", type=int, default=2)


def _tasks(options: Options) -> list[Task]:
    max_size = options.max or options.short * 1333 // 800
    return [Task(c, options.short, max_size, options.threads) for c in options.config]


def _add_engines(verb: Parser, kinds: Collection[str]) -> None:
    verb.add_argument(
        "--engine",
        action="append",
        required=True,
        metavar="KIND[:PRECISION][=PYTHON]",
        help=f"once for each engine; KIND: {', '.join(kinds)}",
    )
    verb.set_defaults(kinds=kinds)


def _specs(options: Options) -> list[EngineSpec]:
    return [EngineSpec.parse(text, options.kinds) for text in options.engine]


def _add_infer(verb: Parser) -> None:
    _add_engines(verb, KINDS)
    _add_models(verb, rounds=7)
    verb.add_argument("--image", type=Path, required=True)


def _infer(options: Options) -> None:
    specs = _specs(options)
    for task in _tasks(options):
        content = infer.measure(task, options.image.resolve(), specs, rounds=options.rounds)
        _record(options, "inference", content, infer.describe(content))


def _add_train(verb: Parser) -> None:
    _add_engines(verb, train_engines.MODULES)
    _add_models(verb, rounds=3)
    verb.add_argument("--image", type=Path, required=True, nargs="+")
    verb.add_argument("--batch", type=int, default=2)


def _train(options: Options) -> None:
    specs = _specs(options)
    for task in _tasks(options):
        content = train.measure(
            task, options.image, specs, batch=options.batch, rounds=options.rounds
        )
        _record(options, "training", content, train.describe(content))


def _add_throughput(verb: Parser) -> None:
    _add_models(verb)
    verb.add_argument("--image", type=Path, required=True, nargs="+")
    verb.add_argument("--work", choices=throughput.WORK, default="inference")
    verb.add_argument("--device", default="cpu", help="cpu (the default), cuda:0, ...")
    verb.add_argument("--precision", choices=list(PRECISIONS), default="bf16")
    verb.add_argument("--batch", type=int, action="append", help="default: 1")


def _throughput(options: Options) -> None:
    for task in _tasks(options):
        job = throughput.Job(task, options.work, options.device, options.precision)
        _keep(options, "throughput", throughput.measure(job, options.image, options.batch or [1]))


def _add_floor(verb: Parser) -> None:
    _add_models(verb, rounds=7)
    verb.add_argument("--image", type=Path, required=True)
    verb.add_argument("--precision", action="append", help="default: fp32 and bf16")


def _floor(options: Options) -> None:
    precisions = options.precision or ["fp32", "bf16"]
    for task in _tasks(options):
        content = floor.measure(task, options.image, precisions, rounds=options.rounds)
        _record(options, "floor", content, str(content))


def _add_data(verb: Parser) -> None:
    _add_engines(verb, data_worker.READERS)
    verb.add_argument("--image", type=Path, nargs="+", required=True)
    verb.add_argument("--short", type=int, default=800)
    verb.add_argument("--max", type=int, default=1333)
    verb.add_argument("--rounds", type=int, default=5)


def _data(options: Options) -> None:
    content = data.measure(
        options.image,
        _specs(options),
        short=options.short,
        max_size=options.max,
        rounds=options.rounds,
    )
    _keep(options, "data path", content)


def _add_evaluation(verb: Parser) -> None:
    _add_engines(verb, evaluation_worker.WAYS)
    verb.add_argument("--num-images", type=int, default=5000)


def _evaluation(options: Options) -> None:
    content = evaluation.measure(_specs(options), num_images=options.num_images)
    _keep(options, "evaluation", content)


def _add_cost(verb: Parser) -> None:
    verb.add_argument("--model", action="append", choices=list(cost_growth.MODELS))
    verb.add_argument("--axis", action="append", choices=list(cost_growth.AXES))
    verb.add_argument("--repeats", type=int, default=3)


def _cost(options: Options) -> None:
    for model in options.model or cost_growth.MODELS:
        for axis in options.axis or cost_growth.AXES:
            _keep(options, "growth", cost_growth.measure(model, axis, repeats=options.repeats))


def _add_savings(verb: Parser) -> None:
    verb.add_argument("--image", type=Path, required=True)
    verb.add_argument("--short", type=int, default=800)
    verb.add_argument("--rounds", type=int, default=5)


def _savings(options: Options) -> None:
    content = savings.measure(options.image, short=options.short, rounds=options.rounds)
    _keep(options, "savings", content)


def _add_accuracy(verb: Parser) -> None:
    verb.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    verb.add_argument("--data", type=Path, required=True, help="folder that holds BCCD/")
    verb.add_argument(
        "--precision", action="append", help="onnx:fp32 and onnx:int8, too; default: fp32 and bf16"
    )


def _accuracy(options: Options) -> None:
    precisions = options.precision or ["fp32", "bf16"]
    content = accuracy.measure(options.model, options.data, precisions)
    _keep(options, "accuracy", content)


def _add_pipeline(verb: Parser) -> None:
    verb.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    verb.add_argument("--images", type=Path, required=True, help="folder of JPEGs")
    verb.add_argument("--count", type=int, default=2000)
    verb.add_argument("--backend", choices=["torch", "onnxruntime"], default="torch")
    verb.add_argument("--precision", default="fp32")


def _pipeline(options: Options) -> None:
    content = pipeline.measure(
        pipeline.model_files(options.model),
        options.images,
        count=options.count,
        backend=options.backend,
        precision=options.precision,
    )
    _keep(options, "pipeline", content)


def _add_report(verb: Parser) -> None:
    verb.add_argument("files", type=Path, nargs="*", default=[records.RECORDS])


def _report(options: Options) -> None:
    sys.stdout.write(report.page(records.load(options.files)))


def _keep(options: Options, kind: str, content: Mapping[str, Any]) -> None:
    """Record a measurement that brings its own table."""
    lines = [content["title"], *report.table(content["columns"], content["rows"])]
    _record(options, kind, content, "\n".join([*lines, content["notes"]]))


def _record(options: Options, kind: str, content: Mapping[str, Any], text: str) -> None:
    records.append(options.records, kind, content)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


Verb = tuple[Callable[[Parser], None], Callable[[Options], None]]
"""What adds its options, and what does it."""

VERBS: dict[str, Verb] = {
    "infer": (_add_infer, _infer),
    "train": (_add_train, _train),
    "data": (_add_data, _data),
    "evaluation": (_add_evaluation, _evaluation),
    "throughput": (_add_throughput, _throughput),
    "cost": (_add_cost, _cost),
    "savings": (_add_savings, _savings),
    "floor": (_add_floor, _floor),
    "accuracy": (_add_accuracy, _accuracy),
    "pipeline": (_add_pipeline, _pipeline),
    "report": (_add_report, _report),
}


if __name__ == "__main__":
    main(sys.argv[1:])
