"""Exports `model.int8.onnx`: convolutions in 8-bit integers, calibrated on photographs.

Weights are quantised for each output channel, activations for each tensor by its range on the
photographs. The file is kept only if the AP of boxes, and of masks if there are any, drops little
on the validation images.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from app.engine.config.traits import Form
from app.engine.errors import CheckpointError, ConfigError, ExportError
from app.engine.evaluation.coco import CocoEvaluator
from app.engine.export import onnx as onnx_export
from app.engine.export._accuracy import PREFIXES, Interval, evaluated, loss_intervals
from app.engine.export._job import ExportJob, Steps
from app.engine.export._quantize import last_convolutions, quantized, score_convolutions
from app.engine.export._speed import speed
from app.engine.export._write import set_metadata
from app.engine.predictor.onnx_card import FILE_NAMES, OnnxCard
from app.engine.predictor.onnx_predictor import OnnxPredictor
from common.files import sha256_of, write_atomically

logger = logging.getLogger(__name__)

TRAITS = Form(
    of_trainings=True,
    condition="with a validation set; left out if it surely loses over one point of AP",
    needs_graph=True,
    needs_validation=True,
)

FILE_NAME = FILE_NAMES["int8"]
REPORT_NAME = "model.int8.json"
MAX_AP_LOSS = 1.0
"""Largest accepted loss, in points of AP (0..100)."""

_WRITING = 0.2
"""Share of the work that writing the float model takes."""


def export(job: ExportJob) -> list[Path]:
    """Write DIRECTORY/model.int8.onnx and model.int8.json, which holds the AP of both.

    ConfigError without photographs or labelled images; ExportError if too much AP is lost.
    """
    if not job.images or not job.validation:
        raise ConfigError(
            "int8 needs photographs to calibrate on and labelled images to measure its loss of AP "
            "on; name DATASETS.TEST with --data or --coco, or give the training a validation set"
        )
    model, card = _float_model(job)
    smaller, accuracy = _best_attempt(job, model)
    card = replace(card, precision="int8", accuracy=accuracy)
    path, report = job.directory / FILE_NAME, job.directory / REPORT_NAME
    with TemporaryDirectory(prefix="export-") as folder:
        file = Path(folder) / FILE_NAME
        set_metadata(smaller, card.metadata())
        file.write_bytes(smaller.SerializeToString())
        card = replace(card, speed=speed(job, file, precision="int8"))
    set_metadata(smaller, card.metadata())
    write_atomically(path, smaller.SerializeToString())
    write_atomically(report, json.dumps({**accuracy, "speed": card.speed}, indent=2) + "\n")
    logger.info("Saved %s: %s, %s", path, accuracy, dict(card.speed))
    return [path, report]


def _float_model(job: ExportJob) -> tuple[onnx.ModelProto, OnnxCard]:
    """Return the float model of an earlier export of the same weights, else export it."""
    path = job.directory / onnx_export.FILE_NAME
    if path.is_file() and job.weights is not None:
        with suppress(CheckpointError):
            card = OnnxPredictor(path).card
            if card.weights_sha256 == sha256_of(job.weights):
                return onnx.load(path), card
    writing = replace(job, progress=lambda fraction: job.progress(_WRITING * fraction))
    return onnx_export.verified_model(writing)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A quantised model with its loss of AP, of boxes and of masks, and what is known of it.

    kept       convolutions left in floats
    ap         AP by IoU type
    losses     how much less that is than the float model's, in points
    intervals  the interval that holds each loss with a probability of 95 %
    """

    model: onnx.ModelProto
    kept: Sequence[str]
    ap: Mapping[str, float]
    losses: Mapping[str, float]
    intervals: Mapping[str, Interval]

    @property
    def loss(self) -> float:
        """The larger loss."""
        return max(self.losses.values())

    @property
    def surely_loses(self) -> float:
        """What is lost at least."""
        return max(low for low, _ in self.intervals.values())

    @property
    def may_lose(self) -> float:
        """What is lost at most."""
        return max(high for _, high in self.intervals.values())


def _best_attempt(
    job: ExportJob, model: onnx.ModelProto
) -> tuple[onnx.ModelProto, Mapping[str, float]]:
    """Quantise all convolutions, else all but those of scores, else all but the last ones.

    The first attempt that keeps the AP is taken, else the one with the smallest loss among those
    that the images do not prove to lose too much. ExportError if each of them surely does.
    """
    last = last_convolutions(model)
    scores = [name for name in last if name in set(score_convolutions(model))]
    choices: Sequence[Sequence[str]] = ([], scores, last)
    num_images = len(job.validation) + len(choices) * (len(job.images) + len(job.validation))
    step = Steps(job.progress, num_images, start=_WRITING)
    attempts: list[_Attempt] = []
    with TemporaryDirectory(prefix="export-") as folder:
        source, target = (Path(folder) / name for name in FILE_NAMES.values())
        source.write_bytes(model.SerializeToString())
        before, reader = _evaluated(source, job, step), OnnxPredictor(source)
        for kept in choices:
            smaller = quantized(model, reader, job.images, excluded=kept, on_image=step)
            target.write_bytes(smaller.SerializeToString())
            attempts.append(_attempt(smaller, kept, before, _evaluated(target, job, step)))
            if attempts[-1].loss <= MAX_AP_LOSS:
                break
    best = min(attempts, key=lambda attempt: attempt.loss)
    possible = [each for each in attempts if each.surely_loses <= MAX_AP_LOSS]
    if best.loss > MAX_AP_LOSS and possible:
        best = min(possible, key=lambda attempt: attempt.loss)
    _judge(best, len(job.validation))
    return best.model, _report(job, best)


def _attempt(
    model: onnx.ModelProto, kept: Sequence[str], before: CocoEvaluator, after: CocoEvaluator
) -> _Attempt:
    intervals = loss_intervals(before, after)
    was, ap = before.ap_without(()), after.ap_without(())
    losses = {iou_type: was[iou_type] - ap[iou_type] for iou_type in was}
    logger.info("int8, %d convolutions left in float: AP %s -> %s", len(kept), was, ap)
    return _Attempt(model, kept, ap, losses, intervals)


def _judge(best: _Attempt, num_images: int) -> None:
    """Warn where the images cannot tell whether too much is lost; ExportError where it is sure."""
    between = f"between {best.surely_loses:.1f} and {best.may_lose:.1f} points (95 %)"
    if best.loss > MAX_AP_LOSS and best.surely_loses > MAX_AP_LOSS:
        raise ExportError(
            f"{FILE_NAME}: 8-bit integers cost {best.loss:.1f} points of AP on {num_images} "
            f"validation images ({' or '.join(best.ap)}), {between}, more than the "
            f"{MAX_AP_LOSS:g} allowed; the file is not kept, use fp32"
        )
    if best.may_lose > MAX_AP_LOSS:
        logger.warning(
            "%s: %d validation images cannot tell whether 8-bit integers cost more than the %g "
            "points of AP that are allowed: measured are %.1f, the loss is %s; the file is kept: "
            "compare it on more labelled images",
            FILE_NAME,
            num_images,
            MAX_AP_LOSS,
            best.loss,
            between if math.isfinite(best.may_lose) else "not known at all",
        )
    else:
        logger.info("int8 costs %.1f points of AP, %s", best.loss, between)


def _evaluated(path: Path, job: ExportJob, on_image: Callable[[], None]) -> CocoEvaluator:
    return evaluated(
        path, job.validation, job.class_names, num_workers=job.num_workers, on_image=on_image
    )


def _report(job: ExportJob, best: _Attempt) -> Mapping[str, float]:
    figures: dict[str, float] = {}
    for iou_type, ap in best.ap.items():
        prefix, loss = PREFIXES[iou_type], best.losses[iou_type]
        figures[f"{prefix}ap_fp32"] = round(ap + loss, 3)
        figures[f"{prefix}ap_int8"] = round(ap, 3)
        figures[f"{prefix}ap_loss"] = round(loss, 3)
        low, high = best.intervals[iou_type]
        if math.isfinite(low):
            figures[f"{prefix}ap_loss_low"], figures[f"{prefix}ap_loss_high"] = (
                round(low, 3),
                round(high, 3),
            )
    return {
        **figures,
        "max_ap_loss": MAX_AP_LOSS,
        "validation_images": len(job.validation),
        "calibration_images": len(job.images),
        "convolutions_in_float": len(best.kept),
    }
