"""Files to detections beside the model alone: what reading, decoding and batching still cost."""

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from app.engine.config import load_config
from app.engine.data.image import read_image
from app.engine.data.mapper import TestMapper
from app.engine.predictor import Predictor


def measure(
    model_dir: Path,
    images: Path,
    *,
    count: int,
    threads: int,
    num_workers: int,
    batch_size: int,
    precision: str,
    rounds: int,
) -> dict[str, Any]:
    """The content of a `pipeline` record; both ways take turns on the same photographs."""
    torch.set_num_threads(threads)
    cfg = load_config(model_dir / "config.yaml")
    cfg.MODEL.DEVICE = "cpu"
    predictor = Predictor.from_files(
        cfg, model_dir / "model.pth", batch_size=batch_size, precision=precision
    )
    files = list(itertools.islice(itertools.cycle(sorted(images.glob("*.jpg"))), count))
    mapper = TestMapper.from_config(cfg)
    samples = [mapper.from_pixels(read_image(path, cfg.INPUT.FORMAT)) for path in files]
    predictor.detect_samples(samples[: 2 * batch_size])
    alone, whole = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        predictor.detect_samples(samples)
        alone.append(count / (time.perf_counter() - started))
        started = time.perf_counter()
        for _ in predictor.detect_files(files, num_workers=num_workers):
            pass
        whole.append(count / (time.perf_counter() - started))
    share = statistics.median(b / a for a, b in zip(alone, whole, strict=True))
    return {
        "key": [model_dir.name, precision, threads, num_workers],
        "title": f"Files to detections, light model, {precision}",
        "columns": ["photographs", "workers", "model alone, images/s", "whole, images/s", "share"],
        "rows": [
            [
                count,
                num_workers,
                f"{statistics.median(alone):.1f}",
                f"{statistics.median(whole):.1f}",
                f"**{share:.2f}**",
            ]
        ],
        "notes": f"{cfg.MODEL.META_ARCHITECTURE} on {cfg.MODEL.BACKBONE.NAME}, "
        f"{cfg.INPUT.MIN_SIZE_TEST} px, batch {batch_size}, {threads} threads; JPEGs from disk "
        f"through `Predictor.detect_files`; {rounds} rounds in turns, medians.",
    }
