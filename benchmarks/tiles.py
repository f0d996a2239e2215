"""Trees in an aerial photograph: AP and time in tiles of several sizes, beside the whole picture.

    python -m benchmarks.tiles [--weights FOLDER] [--model FILE] [KEY VALUE ...]

The demo's small model is trained on crops of 400 px of one photograph (1249 x 1035 px, 558 trees).
Then it looks at another one, which it has never seen (2299 x 2472 px, 1148 trees): scaled to the
network's size as a whole, and in tiles. The evaluator is the product's. With `--model` nothing is
trained, and that file is measured.
"""

import argparse
import json
import logging
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.engine.checkpoint.weights import find_weights
from app.engine.config import CfgNode, load_config, set_classes
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.predictor import Predictor
from app.engine.structures.record import ImageRecord
from app.engine.training.request import TrainRequest
from app.engine.training.train import train
from benchmarks import REPOSITORY

TRAINED_ON = "2019_YELL_2_541000_4977000_image_crop.png"
MEASURED_ON = "2019_YELL_2_528000_4978000_image_crop2.png"
CONFIG = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"
RECIPE: tuple[str, ...] = (
    *("SOLVER.IMS_PER_BATCH", "8", "SOLVER.MAX_ITER", "300", "SOLVER.STEPS", "(200, 270)"),
    *("SOLVER.BASE_LR", "0.001", "SOLVER.WARMUP_ITERS", "30", "SOLVER.EMA.ENABLED", "True"),
    *("INPUT.COLOR_JITTER", "0.4", "INPUT.TILES.SIZE", "400", "DATALOADER.NUM_WORKERS", "1"),
    *("TEST.DETECTIONS_PER_IMAGE", "100"),
)
MANY = 5000
"""Limit of detections for the whole picture, so that none of the trees is left out by number."""


@dataclass(frozen=True)
class Way:
    """One way to look at the photograph; side 0: as a whole."""

    side: int
    overlap: int = 0
    whole_image: bool = False
    short_side: int = 0

    def changes(self) -> dict[str, object]:
        """Return the keys of the config that it sets."""
        keys: dict[str, object] = {
            "INPUT.TILES.SIZE": self.side,
            "INPUT.TILES.OVERLAP": self.overlap,
            "INPUT.TILES.WHOLE_IMAGE": self.whole_image,
        }
        if self.short_side:
            keys |= {"INPUT.MIN_SIZE_TEST": self.short_side, "INPUT.MAX_SIZE_TEST": 8192}
        if not self.side:
            keys["TEST.DETECTIONS_PER_IMAGE"] = MANY
        return keys


WAYS = (
    Way(0),
    Way(0, short_side=2023),
    *(Way(side) for side in (300, 400, 500, 600, 800, 1200)),
    *(Way(400, overlap) for overlap in (20, 50, 200)),
    Way(400, whole_image=True),
)


def main(arguments: Sequence[str]) -> None:
    """Train, measure every way, print one JSON line for each."""
    options = _options(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stderr)
    cfg = load_config(REPOSITORY / CONFIG, [*RECIPE, "MODEL.DEVICE", "cpu", *options.overrides])
    set_classes(cfg, ["tree"])
    cfg.freeze()
    weights = options.model or _trained(cfg, options)
    record = read_photograph(options.photographs / MEASURED_ON)
    for way in WAYS:
        predictor = Predictor.from_files(cfg.with_values(way.changes()), weights, batch_size=4)
        print(json.dumps(_measured(predictor, record, way)), flush=True)


def _trained(cfg: CfgNode, options: argparse.Namespace) -> Path:
    request = TrainRequest(
        cfg,
        [read_photograph(options.photographs / TRAINED_ON)],
        ["tree"],
        options.output,
        val_records=[],
        initial_weights=find_weights(cfg.MODEL.WEIGHTS, [options.weights], allow_download=False),
    )
    train(request)
    return Path(options.output) / "last" / "model.pth"


def _measured(predictor: Predictor, record: ImageRecord, way: Way) -> dict[str, object]:
    started = time.monotonic()
    ((_, found),) = predictor.detect_files([record.path])
    seconds = time.monotonic() - started
    assert not isinstance(found, Exception)
    evaluator = CocoEvaluator([record], ["tree"], max_detections=MANY)
    evaluator.add(record, found)
    metrics = evaluator.results()["bbox"]
    return {
        "tile": way.side,
        "overlap": 0 if predictor.grid is None else predictor.grid.overlap,
        "whole": way.whole_image,
        "short_side": way.short_side,
        "AP": round(metrics["AP"], 1),
        "AP50": round(metrics["AP50"], 1),
        "found": len(found),
        "seconds_per_megapixel": round(seconds / (record.height * record.width / 1e6), 2),
        "views": 1 if predictor.grid is None else predictor.grid.num_tiles(record.size),
    }


def read_photograph(path: Path) -> ImageRecord:
    """Return the record of a photograph with its VOC file beside it; every object is a tree."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    boxes = np.array(
        [
            [float(found.findtext(corner, "0")) for corner in corners]
            for found in ET.parse(path.with_suffix(".xml")).getroot().iter("bndbox")
        ],
        dtype=np.float32,
    )
    boxes[:, 2:] += 1  # the files name the last pixels
    with Image.open(path) as image:
        width, height = image.size
    classes = np.zeros(len(boxes), dtype=np.int64)
    return ImageRecord(path, height, width, boxes, classes, image_id=path.name)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiles")
    cache = REPOSITORY / ".cache"
    parser.add_argument("--photographs", type=Path, default=cache / "demo", help="of `make demo`")
    parser.add_argument("--weights", type=Path, default=cache / "weights")
    parser.add_argument("--model", type=Path, help="weights to measure, instead of a training")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "tiles")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    torch.manual_seed(0)
    main(sys.argv[1:])
