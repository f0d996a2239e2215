"""What resizing with Pillow costs an infer task, beside torch's kernel for bytes.

A round makes the network's inputs of the same files in both ways, and detects in them; all on one
thread, by processor time.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from app.engine.data.images.reading import read_image
from app.engine.data.loading.image_reader import ImageReader
from app.engine.data.transforms.geometric import resize_fast
from app.engine.structures.size import Resizing, shortest_edge_size
from benchmarks.speed.engines import Workload, load_engine, read_pixels
from benchmarks.speed.report import described
from benchmarks.speed.verb import Options, Parser, add_images

KIND = "network input"

TASKS = (
    ("retinanet_R_50_FPN_1x", 800, 1333, "ours", "fp32"),
    ("retinanet_mobilenetv2_FPN_light", 352, 640, "ours", "fp32"),
    ("retinanet_mobilenetv2_FPN_light", 352, 640, "onnx", "fp32"),
    ("retinanet_mobilenetv2_FPN_light", 352, 640, "onnx", "int8"),
)
"""Config, short side, limit of the long side, engine and precision."""

_ENGINES = {"ours": "torch", "onnx": "ONNX Runtime"}


def add_options(parser: Parser) -> None:
    """Options for the photographs and the rounds."""
    add_images(parser)
    parser.add_argument("--rounds", type=int, default=5)


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """One record."""
    yield measure(options.image, rounds=options.rounds)


describe = described


def measure(images: Sequence[Path], *, rounds: int) -> dict[str, Any]:
    """The content of a `network input` record."""
    size = read_pixels(images[0]).shape
    return {
        "key": [len(images), size[0], size[1]],
        "title": f"Network inputs by Pillow and by torch's kernel: files of {size[1]}x{size[0]}",
        "columns": [
            *("model", "input by Pillow, CPU ms", "by torch's kernel", "detection"),
            *("share of the input", "cost of Pillow"),
        ],
        "rows": [_row(images, task, rounds) for task in TASKS],
        "notes": f"{len(images)} files, {rounds} rounds that alternate, one thread, processor time "
        "of an image, median of the rounds. Input: read, decode, resize. Share: of the whole with "
        "Pillow. Cost: what Pillow adds to the whole. With ONNX Runtime torch is never imported, "
        "so its input is always Pillow's, and the last column says what torch's kernel would save.",
    }


def _row(
    images: Sequence[Path], task: tuple[str, int, int, str, str], rounds: int
) -> tuple[str, ...]:
    config, short, max_size, kind, precision = task
    detect = load_engine(kind, Workload(config, short, max_size, 1), precision)
    reader = ImageReader("BGR", Resizing(short, max_size))

    def by_torch(path: Path) -> None:
        pixels = read_image(path, "BGR")
        resize_fast(pixels, shortest_edge_size(pixels.shape[:2], short, max_size))

    inputs = {path: reader(path).pixels for path in images}
    ways: Sequence[Callable[[Path], Any]] = (reader, by_torch, lambda path: detect(inputs[path]))
    for way in ways:
        way(images[0])
    times = [[_cpu_ms(way, images) for way in ways] for _ in range(rounds)]
    pillow, torch, detection = (statistics.median(column) for column in zip(*times, strict=True))
    return (
        f"{config}, {short} px, {_ENGINES[kind]} {precision}",
        *(f"{value:.1f}" for value in (pillow, torch, detection)),
        f"{100 * pillow / (pillow + detection):.1f} %",
        f"{100 * (pillow - torch) / (torch + detection):+.1f} %",
    )


def _cpu_ms(way: Callable[[Path], Any], images: Sequence[Path]) -> float:
    started = time.process_time()
    for image in images:
        way(image)
    return 1000 * (time.process_time() - started) / len(images)
