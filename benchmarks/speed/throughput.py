"""Images per second on one device, ours beside torchvision's, by batch size.

A call gets the images as a loader gives them (uint8, in memory) and ends with detections in
memory, or with a step of the optimizer. GPUs are timed by their own clock.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from app.engine.cpu.prepare import PRECISIONS
from benchmarks.speed import anchor_torchvision, engine_ours, train_ours, train_torchvision
from benchmarks.speed.engines import Workload
from benchmarks.speed.floor import peak_kernel
from benchmarks.speed.report import described
from benchmarks.speed.train_batch import LabelledImage, make_batch
from benchmarks.speed.verb import Options, Parser, add_images, add_models, workloads

Call = Callable[[], Any]
Batch = Sequence[LabelledImage]

WORK = ("inference", "training")
_WARM_UP_S, _MEASURED_S, _FEWEST_CALLS = 2.0, 3.0, 3
_MATRIX = 8192


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement.

    work    inference or training
    device  cpu, cuda:0, ...
    """

    workload: Workload
    work: str
    device: str
    precision: str


KIND = "throughput"


def add_options(parser: Parser) -> None:
    """Options for the models, photographs, device, work, precision and batch sizes."""
    add_models(parser)
    add_images(parser)
    parser.add_argument("--work", choices=WORK, default="inference")
    parser.add_argument("--device", default="cpu", help="cpu (the default), cuda:0, ...")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="bf16")
    parser.add_argument("--batch", type=int, action="append", help="default: 1")


def contents(options: Options) -> Iterator[dict[str, Any]]:
    """A record for each model."""
    for workload in workloads(options):
        job = Job(workload, options.work, options.device, options.precision)
        yield measure(job, options.image, options.batch or [1])


describe = described


def measure(job: Job, images: Sequence[Path], batch_sizes: Sequence[int]) -> dict[str, Any]:
    """The content of a `throughput` record."""
    workload, device = job.workload, _name_of(job.device)
    (first,) = make_batch(images, batch=1, short=workload.short, max_size=workload.max_size)
    flops, peak = _flops_of(job, first), peak_flops(job.device, job.precision)
    rows: list[list[Any]] = []
    for batch_size in batch_sizes:
        batch = make_batch(
            images, batch=batch_size, short=workload.short, max_size=workload.max_size
        )
        seconds = {
            engine: _median_s(job.device, CALLS[engine, job.work](job, batch))
            for engine in ("torchvision", "ours")
        }
        for engine, s in seconds.items():
            share = f"{100 * flops * batch_size / s / peak:.0f} %" if engine == "ours" else "-"
            speedup = f"**{seconds['torchvision'] / s:.2f}**"
            rows.append(
                [batch_size, engine, f"{batch_size / s:.1f}", f"{1000 * s:.1f}", speedup, share]
            )
    return {
        "key": [workload.config, workload.short, workload.threads, device, job.work, job.precision],
        "title": f"Throughput on {device}: {job.work}, {workload.config}, {workload.short} px, "
        f"{job.precision}",
        "columns": ["batch", "engine", "images/s", "ms", "speed-up", "of peak"],
        "rows": rows,
        "notes": "From images in memory to detections in memory, or one step of training. Medians "
        f"of calls in {_MEASURED_S:g} s after {_WARM_UP_S:g} s of warm-up. Of peak: "
        f"{flops / 1e9:.0f} GFLOP an image, summed directly, against the fastest kernel here, "
        f"{peak / 1e12:.2f} TFLOP/s.",
    }


def peak_flops(device: str, precision: str) -> float:
    """Operations per second of the fastest kernel: a convolution or, on GPUs, a matrix product."""
    kernel, flops = peak_kernel(precision, device)
    best = flops / _median_s(device, kernel)
    if device == "cpu":
        return best
    matrix = torch.rand((_MATRIX, _MATRIX), device=device, dtype=PRECISIONS[precision])
    return max(best, 2 * _MATRIX**3 / _median_s(device, lambda: matrix @ matrix))


def _our_inference(job: Job, batch: Batch) -> Call:
    predictor = engine_ours.build(job.workload, job.precision, job.device)
    samples = [train_ours.sample(image, masks=False) for image in batch]
    return lambda: predictor.detect_batch(samples)


def _our_training(job: Job, batch: Batch) -> Call:
    model, cfg = engine_ours.build_model(job.workload, job.device)
    stepper = train_ours.build(model, cfg, job.precision)
    samples = [train_ours.sample(image, masks=cfg.MODEL.MASK_ON) for image in batch]
    return lambda: stepper(samples)


def _their_inference(job: Job, batch: Batch) -> Call:
    kind, dtype = torch.device(job.device).type, PRECISIONS[job.precision]
    model = anchor_torchvision.build_model(job.workload).eval().to(job.device)
    images = [torch.from_numpy(train_torchvision.chw(image)) for image in batch]

    def detect() -> list[dict[str, Tensor]]:
        with torch.inference_mode(), torch.autocast(kind, dtype, enabled=dtype != torch.float32):
            found = model([image.to(job.device).float() / 255 for image in images])
        return [{name: value.cpu() for name, value in image.items()} for image in found]

    return detect


def _their_training(job: Job, batch: Batch) -> Call:
    return train_torchvision.build(job.workload, job.precision, batch, torch.device(job.device))


CALLS: dict[tuple[str, str], Callable[[Job, Batch], Call]] = {
    ("ours", "inference"): _our_inference,
    ("ours", "training"): _our_training,
    ("torchvision", "inference"): _their_inference,
    ("torchvision", "training"): _their_training,
}


def _flops_of(job: Job, image: LabelledImage) -> int:
    """Operations of an image, on plain modules: the counter does not know private operators."""
    model, cfg = engine_ours.build_model(job.workload, job.device)
    sample = train_ours.sample(image, masks=cfg.MODEL.MASK_ON)
    with FlopCounterMode(display=False) as counter:
        if job.work == "inference":
            with torch.no_grad():
                model.detect([sample])
        else:
            total: Any = torch.stack(list(model.train()([sample]).values())).sum()
            total.backward()
    return int(counter.get_total_flops())


def _median_s(device: str, call: Call) -> float:
    """Seconds of a call, by the device's own clock."""
    clock = _cpu_clock if device == "cpu" else partial(_gpu_clock, device)
    _repeat(clock, call, _WARM_UP_S)
    return statistics.median(_repeat(clock, call, _MEASURED_S))


def _repeat(clock: Callable[[Call], float], call: Call, seconds: float) -> list[float]:
    times, ends = [clock(call)], time.perf_counter() + seconds
    while len(times) < _FEWEST_CALLS or time.perf_counter() < ends:
        times.append(clock(call))
    return times


def _cpu_clock(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _gpu_clock(device: str, call: Call) -> float:
    start, end = (torch.Event(device, enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


def _name_of(device: str) -> str:
    return "CPU" if device == "cpu" else torch.cuda.get_device_name(device)
