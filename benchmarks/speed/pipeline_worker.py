"""The model of an infer task alone: prints images per second on pixels that lie in memory.

python -m benchmarks.speed.pipeline_worker BACKEND PRECISION CONFIG WEIGHTS ONNX COUNT IMAGE...
"""

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from app.host_limits import cpu_count
from app.tasks.trained_model import MAX_STREAMS
from executor.hyperparameters import InferHyperparameters


def main(arguments: Sequence[str]) -> None:
    """Load, warm up, measure."""
    backend, precision, config, weights, onnx, count, *images = arguments
    paths = [Path(name) for name in itertools.islice(itertools.cycle(images), int(count))]
    if backend == "onnxruntime":
        detect, group = _onnx(Path(onnx), paths)
    else:
        detect, group = _torch(Path(config), Path(weights), precision, paths)
    detect(0, group)
    started = time.perf_counter()
    for first in range(0, len(paths), group):
        detect(first, first + group)
    sys.stdout.write(f"{len(paths) / (time.perf_counter() - started)}\n")


def _onnx(path: Path, images: Sequence[Path]) -> tuple[Callable[[int, int], Any], int]:
    from app.engine.predictor import OnnxPredictor

    streams = min(cpu_count(), MAX_STREAMS)
    threshold = InferHyperparameters().conf_threshold
    predictor = OnnxPredictor(path, score_threshold=threshold, streams=streams)
    pixels = [[predictor.reader(image)] for image in images]
    pool = ThreadPoolExecutor(streams)
    return lambda first, end: list(pool.map(predictor.detect_batch, pixels[first:end])), 64


def _torch(
    config: Path, weights: Path, precision: str, images: Sequence[Path]
) -> tuple[Callable[[int, int], Any], int]:
    from app.engine.data.image import read_image
    from app.engine.data.mapper import TestMapper
    from app.engine.predictor import Predictor
    from app.tasks.engine_config import inference_config

    hp = InferHyperparameters()
    cfg = inference_config(config, hp, device="cpu", score_threshold=hp.conf_threshold)
    predictor = Predictor.from_files(
        cfg, weights, batch_size=hp.batch_size, precision=precision, boxes_only=True
    )
    mapper = TestMapper.from_config(cfg)
    samples = [mapper.from_pixels(read_image(p, cfg.INPUT.FORMAT)) for p in images]
    return lambda first, end: predictor.detect_samples(samples[first:end]), predictor.group_size


if __name__ == "__main__":
    main(sys.argv[1:])
