"""Measures how long an exported file and the engine take for the same images."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from app.engine.data.loading.image_reader import ResizedImage
from app.engine.errors import ImageError
from app.engine.export._job import ExportJob
from app.engine.predictor.onnx_predictor import OnnxPredictor, num_threads
from app.engine.predictor.predictor import Predictor
from app.engine.structures.sample import Sample

NUM_IMAGES = 3
_ROUNDS, _LONGEST = 5, 20.0
"""Rounds after the first, which warms up, and the seconds after which no other begins."""

Figures = Mapping[str, float | str]


def speed(job: ExportJob, path: Path, *, precision: str) -> Figures:
    """Return the medians of both in milliseconds an image, from resized pixels to boxes, in turns.

    The engine computes as infer does, in float32. Without a readable image there are no figures.
    """
    predictor = OnnxPredictor(path, boxes_only=True)
    images = _examples(predictor, job.images)
    if not images:
        return {}
    engine = Predictor(job.model, job.cfg, boxes_only=True)
    samples = [
        Sample(torch.from_numpy(i.pixels.copy()).permute(2, 0, 1), i.original_size) for i in images
    ]
    ways: Sequence[tuple[Callable[[Any], Any], Sequence[Any]]] = (
        (lambda image: predictor.detect_batch([image]), images),
        (lambda sample: engine.detect_batch([sample]), samples),
    )
    file_ms, torch_ms = _medians(ways)
    return {
        f"ms_onnx_{precision}": round(file_ms, 1),
        "ms_torch_fp32": round(torch_ms, 1),
        "images": len(images),
        "threads": num_threads(),
        "threads_torch": torch.get_num_threads(),
        "processor": _processor(),
    }


def _examples(predictor: OnnxPredictor, paths: Sequence[Path]) -> list[ResizedImage]:
    examples: list[ResizedImage] = []
    for path in paths:
        with suppress(ImageError):
            examples.append(predictor.example(path))
        if len(examples) == NUM_IMAGES:
            break
    return examples


def _medians(ways: Sequence[tuple[Callable[[Any], Any], Sequence[Any]]]) -> list[float]:
    times: list[list[float]] = [[] for _ in ways]
    started = time.perf_counter()
    for round_number in range(_ROUNDS + 1):
        for kept, (work, inputs) in zip(times, ways, strict=True):
            begun = time.perf_counter()
            for each in inputs:
                work(each)
            if round_number:
                kept.append(1000 * (time.perf_counter() - begun) / len(inputs))
        if round_number and time.perf_counter() - started > _LONGEST:
            break
    return [statistics.median(kept) for kept in times]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
