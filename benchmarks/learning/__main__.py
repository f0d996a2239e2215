"""Train arms on small data and record how good they become.

    python -m benchmarks.learning run --bccd FOLDER [--trees FOLDER] --sets bccd,trees \\
        --arms imagenet,coco-body --minutes 2,5,10 --seeds 0,1,2 [--threads N] [--final]
    python -m benchmarks.learning publish

A run trains on the train images with a schedule for its minutes, and its last weights are measured
on val and on test. Choices look at val alone. With `--final` it trains on train and val, and test
is measured. Minutes are turned into iterations by the pace that was measured alone, so results do
not depend on what else the machine does. A run whose record exists is skipped, so the command may
be interrupted and started again.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from app.engine.checkpoint.weights import find_weights
from app.engine.config import load_config, set_classes
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.predictor import Predictor
from app.engine.structures.record import ImageRecord
from app.engine.training.request import TrainRequest
from app.engine.training.train import train
from benchmarks import REPOSITORY
from benchmarks.learning.arms import ARMS, COMMON, OF_SET, iterations
from benchmarks.learning.report import COLUMNS, rows
from benchmarks.learning.sets import SETS, Splits, read
from benchmarks.speed import records as speed_records
from verification import json_lines

RECORDS = Path(__file__).with_name("records.jsonl")

NOTES = """\
`python -m benchmarks.learning run`, records in `benchmarks/learning/records.jsonl`. Means over
seeds, ± half of the 95 % interval of the mean. BCCD has 205 images to train on, 87 to choose by
(val) and 72 to publish (test); the trees are 400 px tiles of one photograph, and val and test
are two halves of another. Minutes stand
for iterations: with both cores of this machine one of the light network takes 0.605 s on BCCD. The
trees have as many, of which one takes 1.0 s (larger images), so their rows need 1.65 times as long.
imagenet: the light RetinaNet as it is shipped; coco-body: the
same with the body of ssd_mobilenet_v2_coco; edge: the network for one core, with that body, in
as many iterations (it needs less time for them); edge-imagenet: the same with ImageNet's."""
"""Below the table."""

_KEY = ("set", "arm", "minutes", "seed", "final")


def main(arguments: Sequence[str]) -> None:
    """Run what has no record yet, or make the records a table of docs/performance.md."""
    options = _options(arguments)
    if options.verb == "publish":
        speed_records.append(speed_records.RECORDS, "learning", _published(options.records))
        return
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING, stream=sys.stderr)
    torch.set_num_threads(options.threads)
    for key in _planned(options):
        if key not in _recorded(options.records):
            json_lines.append(options.records, _run(dict(zip(_KEY, key, strict=True)), options))


def _published(path: Path) -> dict[str, Any]:
    """The content of a record that `benchmarks.speed report` shows as a table."""
    return {
        "title": "Learning small data: starts and networks",
        "columns": COLUMNS,
        "rows": rows(json_lines.read(path)),
        "notes": NOTES.replace("\n", " "),
    }


def _planned(options: argparse.Namespace) -> list[tuple[Any, ...]]:
    """Keys of the runs, cheap ones first and one seed of each arm before the next seed."""
    return [
        (name, arm, minutes, seed, options.final)
        for minutes in sorted(map(float, options.minutes.split(",")))
        for seed in map(int, options.seeds.split(","))
        for name in options.sets.split(",")
        for arm in options.arms.split(",")
    ]


def _recorded(path: Path) -> set[tuple[Any, ...]]:
    return {tuple(record[key] for key in _KEY) for record in json_lines.read(path)}


def _run(key: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    started = time.monotonic()
    options.work.mkdir(parents=True, exist_ok=True)
    splits = read(key["set"], getattr(options, key["set"]), options.work / key["set"])
    count = iterations(key["set"], key["arm"], key["minutes"])
    measured = _trained(key, splits, count, options)
    record = {
        **key,
        "iterations": count,
        **measured,
        "seconds": round(time.monotonic() - started),
        "threads": options.threads,
        "time": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "machine": speed_records.machine(),
    }
    print(json.dumps({k: v for k, v in record.items() if k != "machine"}), flush=True)
    return record


def _trained(
    key: dict[str, Any], splits: Splits, count: int, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Metrics of the last weights on val and test."""
    arm = ARMS[key["arm"]]
    length = ("SOLVER.MAX_ITER", str(count), "SOLVER.WARMUP_ITERS", str(min(100, count // 8)))
    changes = [*COMMON, *OF_SET[key["set"]], *length, *arm.changes, "SEED", str(key["seed"])]
    cfg = load_config(REPOSITORY / arm.config, changes)
    set_classes(cfg, splits.class_names)
    cfg.freeze()
    images = [*splits.train, *(splits.val if key["final"] else ())]
    wanted = arm.weights or cfg.MODEL.WEIGHTS
    with _folder(key, options) as folder:
        request = TrainRequest(
            cfg,
            images,
            splits.class_names,
            folder,
            initial_weights=find_weights(wanted, [options.weights], allow_download=False),
        )
        last = train(request).last
        assert last is not None
        predictor = Predictor.from_files(load_config(last.config), last.weights, batch_size=8)
        return {
            name: _metrics(predictor, getattr(splits, name), splits.class_names)
            for name in (["test"] if key["final"] else ["val", "test"])
        }


@contextmanager
def _folder(key: dict[str, Any], options: argparse.Namespace) -> Iterator[Path]:
    """A folder for a training; it stays where `--keep` asks for it."""
    if options.keep:
        yield options.work / "-".join(str(key[name]) for name in _KEY)
        return
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        yield Path(folder)


def _metrics(
    predictor: Predictor, records: Sequence[ImageRecord], class_names: Sequence[str]
) -> dict[str, float]:
    evaluator = CocoEvaluator(records, class_names)
    found = predictor.detect_files([record.path for record in records])
    for record, (_, instances) in zip(records, found, strict=True):
        assert not isinstance(instances, Exception)
        evaluator.add(record, instances)
    results = evaluator.results()["bbox"]
    names = ("AP", "AP50", "AP75", *(f"AP-{name}" for name in class_names if len(class_names) > 1))
    return {name: round(float(results[name]), 2) for name in names}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning")
    parser.add_argument("verb", choices=["run", "publish"])
    parser.add_argument("--bccd", type=Path, help="folder that holds BCCD/")
    parser.add_argument("--trees", type=Path, default=REPOSITORY / ".cache" / "demo")
    parser.add_argument("--weights", type=Path, default=REPOSITORY / ".cache" / "weights")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "build" / "learning")
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--minutes", default="2,5,10")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--keep", action="store_true", help="keep the trained models")
    parser.add_argument("--final", action="store_true", help="train on val, too; publish test")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
