"""Run the model of an infer task alone, and print images per second for pixels in memory.

python -m benchmarks.speed.pipeline_worker BACKEND PRECISION CONFIG WEIGHTS ONNX COUNT IMAGE...
"""

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from app.engine.predictor.streams import MAX_STREAMS
from common.host_limits import cpu_count
from executor.hyperparameters import InferHyperparameters

WARM_UP = 32

Detect = Callable[[int], Any]
"""Detects in so many of the images."""


def main(arguments: Sequence[str]) -> None:
    """Load, warm up, measure."""
    backend, precision, config, weights, onnx, count, *images = arguments
    paths = [Path(name) for name in itertools.islice(itertools.cycle(images), int(count))]
    if backend == "onnxruntime":
        detect = _onnx(Path(onnx), paths)
    else:
        detect = _torch(Path(config), Path(weights), precision, paths)
    detect(WARM_UP)
    started = time.perf_counter()
    detect(len(paths))
    sys.stdout.write(f"{len(paths) / (time.perf_counter() - started)}\n")


def _onnx(path: Path, images: Sequence[Path]) -> Detect:
    from app.engine.predictor import OnnxPredictor

    streams = min(cpu_count(), MAX_STREAMS)
    threshold = InferHyperparameters().conf_threshold
    predictor = OnnxPredictor(path, score_threshold=threshold, streams=streams)
    pixels = [[predictor.reader(image)] for image in images]
    pool = ThreadPoolExecutor(streams)
    return lambda count: list(pool.map(predictor.detect_batch, pixels[:count]))


def _torch(config: Path, weights: Path, precision: str, images: Sequence[Path]) -> Detect:
    from app.engine.data.images.reading import read_image
    from app.engine.data.loading.mapper import TestMapper
    from app.engine.predictor import Predictor
    from app.engine.trained.inference_config import inference_config
    from app.engine.trained.torch_model import streams_on_cpu
    from app.tasks.trained_model import infer_opening

    hp = InferHyperparameters()
    opening = infer_opening(hp, device="cpu", num_images=len(images))
    cfg = inference_config(config, opening)
    streams = streams_on_cpu(hp.batch_size, len(images))
    predictor = Predictor.from_files(
        cfg,
        weights,
        batch_size=hp.batch_size // streams,
        streams=streams,
        precision=precision,
        boxes_only=True,
    )
    mapper = TestMapper.from_config(cfg)
    samples = [(p, mapper.from_pixels(read_image(p, cfg.INPUT.FORMAT))) for p in images]
    return lambda count: list(predictor.map_samples(samples[:count], predictor.detect_batch))


if __name__ == "__main__":
    main(sys.argv[1:])
