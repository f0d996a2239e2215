"""How near a model runs to the machine's limit: its arithmetic at the speed of the fastest kernel.

The floor is the time of a detection if every multiplication ran as fast as the best sustained
convolution (3x3, 256 channels, a 100 x 152 map) and everything else took no time.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from app.engine.cpu.prepare import PRECISIONS
from app.engine.data.loading.mapper import TestMapper
from benchmarks.speed.engine_ours import build, build_model
from benchmarks.speed.engines import Array, Workload, read_pixels
from benchmarks.speed.verb import Options, Parser, add_image, add_models, workloads

_CHANNELS, _HEIGHT, _WIDTH = 256, 100, 152
_MAPS_ON_GPU = 16


KIND = "floor"


def add_options(parser: Parser) -> None:
    """Options for the models, the photograph and the precisions."""
    add_models(parser, rounds=7)
    add_image(parser)
    parser.add_argument("--precision", action="append", help="default: fp32 and bf16")


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """A record for each model."""
    precisions = options.precision or ["fp32", "bf16"]
    for workload in workloads(options):
        yield measure(workload, options.image, precisions, rounds=options.rounds)


def describe(content: dict[str, Any]) -> str:
    """The record as text."""
    return str(content)


def measure(
    workload: Workload, image: Path, precisions: list[str], *, rounds: int
) -> dict[str, Any]:
    """The content of a `floor` record; kernel and model take turns."""
    pixels = read_pixels(image)
    flops = count_flops(workload, pixels)
    return {
        "key": [workload.config, workload.short, workload.threads],
        "config": workload.config,
        "short": workload.short,
        "threads": workload.threads,
        "gflop": flops / 1e9,
        "precisions": [_of_precision(workload, pixels, p, flops, rounds) for p in precisions],
    }


def count_flops(workload: Workload, pixels: Array) -> int:
    """Operations of convolutions and matrix products, 2 for each multiply-add."""
    model, cfg = build_model(workload)
    sample = TestMapper.from_config(cfg).from_pixels(pixels)
    # Counted on plain modules: the counter does not know private operators.
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.detect([sample])
    return int(counter.get_total_flops())


def _of_precision(
    workload: Workload, pixels: Array, precision: str, flops: int, rounds: int
) -> dict[str, Any]:
    predictor, (kernel, kernel_flops) = build(workload, precision), peak_kernel(precision)
    kernels, models = [], []
    for number in range(rounds + 1):
        kernel_s = min(_seconds(kernel) for _ in range(5))
        model_s = _seconds(lambda: predictor.detect([pixels]))
        if number:
            kernels.append(kernel_s)
            models.append(model_s)
    peak = kernel_flops / min(kernels)
    return {
        "precision": precision,
        "peak_gflops": peak / 1e9,
        "floor_s": flops / peak,
        "median_s": statistics.median(models),
        "share_of_floor": flops / peak / statistics.median(models),
    }


def peak_kernel(precision: str, device: str = "cpu") -> tuple[Callable[[], Any], int]:
    """The fastest sustained convolution of this machine, and its operations."""
    count, dtype = (1 if device == "cpu" else _MAPS_ON_GPU), PRECISIONS[precision]
    conv = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1)
    layer = conv.to(torch.device(device), dtype).to(memory_format=torch.channels_last)
    x = torch.rand((count, _CHANNELS, _HEIGHT, _WIDTH), device=device)
    x = x.to(dtype, memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            layer(x)

    return run, 2 * 9 * _CHANNELS * _CHANNELS * _HEIGHT * _WIDTH * count


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
