"""Runs a detector over a data set, passes the detections to evaluators and logs the speed.

N: images of a batch
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch

from app.engine.errors import is_out_of_memory
from app.engine.evaluation.evaluator import Evaluator
from app.engine.layers.precision import autocast
from app.engine.modeling.detector import Detector
from app.engine.structures.detections import Detections
from app.engine.structures.record import ImageRecord
from app.engine.structures.sample import Sample
from common.progress import Progress

logger = logging.getLogger(__name__)

T = TypeVar("T")

OnBatch = Callable[[list[Sample], list[Detections]], None]

_NUM_WARMUP = 5  # batches that are not timed
_LOG_PERIOD_S = 5.0


def run_inference(
    model: Detector,
    batches: Iterable[list[Sample]],
    records: Mapping[int | str, ImageRecord],
    evaluators: Sequence[Evaluator],
    *,
    num_batches: int,
    num_devices: int = 1,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
    on_batch: OnBatch | None = None,
) -> int:
    """Pass every image's detections to `evaluators`; return the number of images.

    records     records by image id
    dtype       bfloat16 or float16: run the network in it; None: float32
    progress    called after every batch with the share done, 0 to 1
    on_batch    called with the samples and detections of every batch, for pictures
    """
    logger.info("Start inference on %d batches", num_batches)
    clock, num_images = _Clock(num_batches), 0
    with _eval_mode(model), torch.no_grad(), autocast(model.device, dtype):
        for index, samples in enumerate(clock.timed(batches)):
            with clock.part("compute"):
                detections = detect(model, samples) if samples else []
                if model.device.type == "cuda":
                    torch.cuda.synchronize(model.device)
            with clock.part("eval"):
                for sample, found in zip(samples, detections, strict=True):
                    for evaluator in evaluators:
                        evaluator.add(records[sample.image_id], found)
                if on_batch is not None:
                    on_batch(samples, detections)
            num_images += len(samples)
            clock.log(index)
            if progress is not None:
                progress(min(1.0, (index + 1) / max(1, num_batches)))
    clock.log_total(num_devices)
    return num_images


def detect(model: Detector, samples: list[Sample]) -> list[Detections]:
    """Return the detections of a batch, computed in halves if memory is too small."""
    return [found for part in in_halves(model.detect, samples) for found in part]


def in_halves(work: Callable[[list[Sample]], T], samples: list[Sample]) -> list[T]:
    """Apply `work` to the batch or, if memory runs out, to each half of it, and so on."""
    try:
        return [work(samples)]
    except (MemoryError, RuntimeError) as error:
        if len(samples) == 1 or not is_out_of_memory(error):
            raise
        logger.warning("Out of memory with %d images at once: halving", len(samples))
    torch.cuda.empty_cache()
    half = len(samples) // 2
    return in_halves(work, samples[:half]) + in_halves(work, samples[half:])


@contextmanager
def _eval_mode(model: Detector) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class _Clock:
    """Seconds spent on loading, computing and evaluating, without the first batches."""

    def __init__(self, num_batches: int) -> None:
        self.num_batches = num_batches
        self.num_warmup = max(0, min(_NUM_WARMUP, num_batches - 1))
        self.seconds = {"data": 0.0, "compute": 0.0, "eval": 0.0}
        self.done = 0
        self.start = self.last_log = time.perf_counter()

    def timed(self, batches: Iterable[list[Sample]]) -> Iterator[list[Sample]]:
        """Yield the batches; the time spent waiting for them counts as data loading."""
        iterator = iter(batches)
        while True:
            with self.part("data"):
                batch = next(iterator, None)
            if batch is None:
                return
            if self.done == self.num_warmup:
                self.seconds = dict.fromkeys(self.seconds, 0.0)
                self.start = time.perf_counter()
            yield batch
            self.done += 1

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent in the context to `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start

    def log(self, index: int) -> None:
        """Log detectron2's line, at most every 5 s and not before the tenth batch."""
        count = index + 1 - (self.num_warmup if index >= self.num_warmup else 0)
        now = time.perf_counter()
        data, compute, evaluation = (self.seconds[k] / count for k in ("data", "compute", "eval"))
        if index < 2 * self.num_warmup and compute <= _LOG_PERIOD_S:
            return
        if now - self.last_log < _LOG_PERIOD_S:
            return
        self.last_log, total = now, (now - self.start) / count
        eta = timedelta(seconds=int(total * max(0, self.num_batches - index - 1)))
        logger.info(
            "Inference done %d/%d. Dataloading: %.4f s/iter. Inference: %.4f s/iter. "
            "Eval: %.4f s/iter. Total: %.4f s/iter. ETA=%s",
            index + 1,
            self.num_batches,
            data,
            compute,
            evaluation,
            total,
            eta,
        )

    def log_total(self, num_devices: int) -> None:
        """Log detectron2's two closing lines, which scripts parse."""
        total, count = time.perf_counter() - self.start, max(1, self.done - self.num_warmup)
        compute = self.seconds["compute"]
        logger.info(
            "Total inference time: %s (%.6f s / iter per device, on %d devices)",
            timedelta(seconds=total),
            total / count,
            num_devices,
        )
        logger.info(
            "Total inference pure compute time: %s (%.6f s / iter per device, on %d devices)",
            timedelta(seconds=math.floor(compute)),
            compute / count,
            num_devices,
        )
