"""Blood cells (BCCD): how well a small model learns 3 classes from 292 photographs, on a CPU.

    python -m benchmarks.bccd --data FOLDER [--config FILE] [--weights FOLDER] [KEY VALUE ...]

FOLDER holds `BCCD/` with Annotations, ImageSets and JPEGImages. The model is trained on train + val
and measured once on test, at the end and with the last weights, so test images decide nothing
(`TEST.EVAL_PERIOD 100` shows the curve; the result is still that of the last weights).
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from app.engine.checkpoint.weights import find_weights
from app.engine.config import load_config, set_classes
from app.engine.data.formats import FORMATS, Reading
from app.engine.structures.record import ImageRecord
from app.engine.training.request import TrainRequest
from app.engine.training.train import train
from benchmarks import REPOSITORY

CLASS_NAMES = ["RBC", "WBC", "Platelets"]

RECIPE: tuple[str, ...] = (
    *("SOLVER.IMS_PER_BATCH", "8", "SOLVER.MAX_ITER", "800", "SOLVER.WARMUP_ITERS", "100"),
    *("SOLVER.AMP.ENABLED", "True", "SOLVER.EMA.ENABLED", "True", "SOLVER.EMA.DECAY", "0.99"),
    *("INPUT.MIN_SIZE_TRAIN", "(312,)", "INPUT.MIN_SIZE_TEST", "312"),
    *("INPUT.COLOR_JITTER", "0.2", "DATALOADER.NUM_WORKERS", "1"),
)
"""On top of the config file; what the command line says comes after it."""


def main(arguments: Sequence[str]) -> None:
    """Train, measure, print one JSON line."""
    options = _options(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stderr)
    cfg = load_config(REPOSITORY / options.config, [*RECIPE, *options.overrides])
    set_classes(cfg, CLASS_NAMES)
    cfg.freeze()
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    request = TrainRequest(
        cfg,
        read_split(options.data, "train") + read_split(options.data, "val"),
        CLASS_NAMES,
        options.output,
        val_records=read_split(options.data, "test"),
        tensorboard_dir=options.output / "tensorboard",
        initial_weights=find_weights(cfg.MODEL.WEIGHTS, [options.weights], allow_download=False),
    )
    summary = train(request)
    seconds = time.monotonic() - started
    assert summary.last is not None
    print(json.dumps({"seconds": round(seconds), "metrics": summary.last.metrics}))


def read_split(data: Path, split: str) -> list[ImageRecord]:
    """Records of 'train', 'val' or 'test'."""
    root = data / "BCCD"
    names = (root / "ImageSets" / "Main" / f"{split}.txt").read_text(encoding="utf-8").split()
    pairs = [
        (root / "JPEGImages" / f"{name}.jpg", root / "Annotations" / f"{name}.xml")
        for name in names
    ]
    return FORMATS["voc"](pairs, Reading(CLASS_NAMES))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bccd")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds BCCD/")
    parser.add_argument("--config", default="configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml")
    parser.add_argument("--weights", type=Path, default=REPOSITORY / ".cache" / "weights")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bccd")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
