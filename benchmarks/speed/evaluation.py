"""Average precision of many detections: the time from detections in memory to the numbers.

A data set is drawn at random: objects of 80 classes, detections near them and elsewhere. Each way
runs in its own process on the same arrays.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.engines import EngineSpec
from benchmarks.speed.evaluation_worker import WAYS
from benchmarks.speed.report import described
from benchmarks.speed.side_by_side import ended_at_last, start
from benchmarks.speed.verb import Options, Parser, add_engines, specs

NUM_CLASSES = 80
DETECTIONS = 100
OBJECTS = 7.2
"""Mean number of objects in an image: 36,000 in 5,000 images, as in COCO's validation set."""
_WIDTH, _HEIGHT = 640, 480


KIND = "evaluation"


def add_options(parser: Parser) -> None:
    """Options for the ways to compute the numbers and the size of the data set."""
    add_engines(parser, WAYS)
    parser.add_argument("--num-images", type=int, default=5000)


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """One record."""
    yield measure(specs(options), num_images=options.num_images)


describe = described


def measure(specs: Sequence[EngineSpec], *, num_images: int) -> dict[str, Any]:
    """The content of an `evaluation` record; each way runs once."""
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detections.npz"
        make(path, num_images)
        for spec in specs:
            with ended_at_last([]) as workers:
                workers.append(start(spec, "evaluation_worker", [spec.kind, str(path)], threads=2))
                workers[0].answer()
                answers.append(workers[0].ask("run"))
    first = answers[0]
    rows = [
        [
            spec.kind,
            f"{answer['wall_s']:.1f}",
            f"{answer['cpu_s']:.1f}",
            f"**{first['cpu_s'] / answer['cpu_s']:.1f}**",
            f"{answer['rss_mb']:.0f}",
            f"{_largest_gap(answer['stats'], first['stats']):.1e}",
            f"{_largest_gap(answer['classes'], first['classes']):.1e}",
        ]
        for spec, answer in zip(specs, answers, strict=True)
    ]
    return {
        "key": num_images,
        "title": f"Evaluation: box AP of {num_images:,} images, {DETECTIONS} detections each",
        "columns": [
            *("way", "s", "CPU s", "speed-up by CPU time", "peak MB"),
            *("largest gap of the 12 numbers", "of the classes' AP"),
        ],
        "rows": rows,
        "notes": "From detections in memory to the numbers; gaps to the first row, of numbers "
        "in 0..1. detectron2 writes and reads a JSON file on the way and, without its C++ "
        "extension, calls pycocotools.",
    }


def _largest_gap(found: Sequence[float], expected: Sequence[float]) -> float:
    return float(np.nanmax(np.abs(np.array(found) - expected)))


def make(path: Path, num_images: int, *, seed: int = 0) -> None:
    """Arrays of objects (image, class, box x0 y0 x1 y1) and of detections (and score)."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(OBJECTS, num_images)
    gt_image = np.repeat(np.arange(num_images), counts)
    gt_class = rng.integers(NUM_CLASSES, size=len(gt_image))
    gt_box = _boxes(rng, len(gt_image))
    image, classes, boxes = [], [], []
    ends = counts.cumsum()
    for number, (begin, end) in enumerate(zip(ends - counts, ends, strict=True)):
        # Half of them near objects, where there are any.
        num_near = DETECTIONS // 2 if end > begin else 0
        near = rng.integers(begin, max(end, begin + 1), size=num_near)
        moved = gt_box[near] * rng.normal(1.0, 0.05, (num_near, 4))
        others = DETECTIONS - num_near
        image.append(np.full(DETECTIONS, number))
        classes.append(np.append(gt_class[near], rng.integers(NUM_CLASSES, size=others)))
        boxes.append(np.concatenate((moved, _boxes(rng, others))))
    found = np.concatenate(boxes)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    np.savez(
        path,
        num_images=num_images,
        gt_image=gt_image,
        gt_class=gt_class,
        gt_box=gt_box.astype(np.float32),
        image=np.concatenate(image),
        classes=np.concatenate(classes),
        boxes=found.astype(np.float32),
        scores=rng.random(len(found)).astype(np.float32),
    )


def _boxes(rng: np.random.Generator, number: int) -> Any:
    """Boxes with sides from 8 to 320 pixels, uniform in the logarithm."""
    sides = np.exp(rng.uniform(np.log(8), np.log(320), (number, 2)))
    corners = rng.random((number, 2)) * ([_WIDTH, _HEIGHT] - sides)
    return np.concatenate((corners, corners + sides), axis=1)
