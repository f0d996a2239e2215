"""How time and memory of a training step and of a detection grow with the user's data.

One number grows at a time: classes, labelled (or detected) boxes of an image, sides of the image.
The models are the light ones, so that the body does not hide the cost of the rest. Each figure is
measured in its own process with one thread, because memory left on the heap would hide growth.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import torch

from app.engine.config import load_config
from app.engine.cpu.prepare import prepare_for_training
from app.engine.modeling.build import build_detector
from app.engine.predictor import Predictor
from app.engine.solver import build_optimizer
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth
from app.engine.training.update.step import Stepper
from benchmarks import REPOSITORY
from benchmarks.speed.report import described
from benchmarks.speed.serving import memory_mb
from benchmarks.speed.verb import Options, Parser

MODELS = {
    "RetinaNet": "Mobile/retinanet_mobilenetv2_FPN_light.yaml",
    "Faster R-CNN": "Mobile/faster_rcnn_mobilenetv2_FPN_light.yaml",
}
BATCH = 2


@dataclass(frozen=True, slots=True)
class Load:
    """The size of a user's data. `side` is the height; the width is 1.5 times as much."""

    classes: int = 80
    boxes: int = 10
    side: int = 320


AXES: dict[str, Sequence[int]] = {
    "classes": (1, 20, 80, 300, 1200),
    "boxes": (0, 10, 100, 500, 2000),
    "side": (160, 320, 480, 640, 960),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one call, and its peak memory beyond that of the built model."""

    seconds: float
    mb: float


KIND = "growth"


def add_options(parser: Parser) -> None:
    """Options for the models and the numbers that grow; the default is all."""
    parser.add_argument("--model", action="append", choices=list(MODELS))
    parser.add_argument("--axis", action="append", choices=list(AXES))
    parser.add_argument("--repeats", type=int, default=3)


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """A record for each model and number that grows."""
    for model in options.model or MODELS:
        for axis in options.axis or AXES:
            yield measure(model, axis, repeats=options.repeats)


describe = described


def measure(model: str, axis: str, *, repeats: int) -> dict[str, Any]:
    """The content of a `growth` record: one model along one axis."""
    rows = []
    for value in AXES[axis]:
        load = replace(Load(), **{axis: value})
        costs = [_cost_alone(prepare, model, load, repeats) for prepare in (_training, _detecting)]
        seconds = [f"{cost.seconds:.2f}" for cost in costs]
        rows.append([f"{value:,}", *seconds, *(f"{cost.mb:.0f}" for cost in costs)])
    return {
        "key": [model, axis],
        "title": f"Cost growth: {model} (light), {_TITLES[axis]}",
        "columns": [
            axis,
            f"training step of {BATCH}, CPU s",
            "detection of 1, CPU s",
            "training, MB",
            "detection, MB",
        ],
        "rows": rows,
        "notes": notes(axis, rows),
    }


_TITLES = {
    "classes": "number of classes",
    "boxes": "boxes in an image (labelled in training, detected in detection)",
    "side": "image size (height; the width is 1.5 times as much)",
}
_POWERS = {"classes": "the number", "boxes": "the number", "side": "the number of pixels"}


def notes(axis: str, rows: Sequence[Sequence[str]]) -> str:
    """The text below the table of one axis."""
    values = [[float(cell.replace(",", "")) for cell in row] for row in rows]
    causes = [row[0] ** (2 if axis == "side" else 1) for row in values]
    names = ("training time", "detection time", "training memory", "detection memory")
    slopes = [
        f"{name} {_steepest(list(zip(causes, column, strict=True)), least=least):.2f}"
        for name, least, column in zip(
            names, (0.05, 0.05, 100.0, 100.0), list(zip(*values, strict=True))[1:], strict=True
        )
    ]
    return (
        f"{_others(axis)} One thread. MB: peak beyond the model as built. Steepest growth between "
        f"neighbouring rows, as a power of {_POWERS[axis]}: {', '.join(slopes)} (1 is a straight "
        "line; costs under 0.05 s or 100 MB count as that much)."
    )


def _others(axis: str) -> str:
    fixed = {"classes": "classes", "boxes": "boxes", "side": "pixels high"}
    load = Load()
    return ", ".join(f"{getattr(load, k)} {name}" for k, name in fixed.items() if k != axis) + "."


def _steepest(points: Sequence[tuple[float, float]], *, least: float) -> float:
    """Largest exponent between neighbours: 1 where the cost grows in proportion."""
    return max(
        math.log(max(after, least) / max(before, least)) / math.log(much / few)
        for (few, before), (much, after) in pairwise(points)
        if few > 0
    )


Preparation = Callable[[str, Load], Callable[[], Any]]
"""Model, load -> what is measured."""


def _training(model: str, load: Load) -> Callable[[], Any]:
    cfg = _config(model, load)
    detector = build_detector(cfg).train()
    prepare_for_training(detector)
    stepper = Stepper(detector, build_optimizer(cfg, detector), device=torch.device("cpu"))
    samples = [_sample(load, seed) for seed in range(BATCH)]
    return lambda: stepper(samples)


def _detecting(model: str, load: Load) -> Callable[[], Any]:
    cfg = _config(model, load)
    predictor = Predictor(build_detector(cfg).eval(), cfg, consume=True)
    pixels = _sample(load, 0).image.permute(1, 2, 0).numpy()
    return lambda: predictor.detect([pixels])


def _config(model: str, load: Load) -> Any:
    cfg = load_config(
        REPOSITORY / "configs" / MODELS[model],
        [
            *("MODEL.RETINANET.NUM_CLASSES", str(load.classes)),
            *("MODEL.ROI_HEADS.NUM_CLASSES", str(load.classes)),
            # Fresh weights give every class about the same score, so all boxes pass.
            *("MODEL.RETINANET.SCORE_THRESH_TEST", "0.0"),
            *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"),
            *("TEST.DETECTIONS_PER_IMAGE", str(max(load.boxes, 1))),
            *("INPUT.MIN_SIZE_TEST", str(load.side)),
            *("INPUT.MAX_SIZE_TEST", str(2 * load.side)),
            *("MODEL.DEVICE", "cpu"),
        ],
    )
    torch.manual_seed(0)
    return cfg


def _sample(load: Load, seed: int) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    height, width = load.side, load.side * 3 // 2
    sides = torch.rand((load.boxes, 2), generator=generator) * 0.2 * height + 4
    corners = torch.rand((load.boxes, 2), generator=generator) * (
        torch.tensor([width, height]) - sides
    )
    boxes = torch.cat((corners, corners + sides), dim=1)
    classes = torch.randint(load.classes, (load.boxes,), generator=generator)
    image = torch.randint(256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Sample(image.permute(2, 0, 1), (height, width), GroundTruth(boxes, classes))


def _cost_alone(prepare: Preparation, model: str, load: Load, repeats: int) -> Cost:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_cost, prepare, model, load, repeats).result()


def _cost(prepare: Preparation, model: str, load: Load, repeats: int) -> Cost:
    torch.set_num_threads(1)
    call = prepare(model, load)
    at_rest = memory_mb("VmRSS")
    call()
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return Cost(statistics.median(seconds), memory_mb("VmHWM") - at_rest)
