"""Exports `model.int8.onnx`: convolutions in 8-bit integers, calibrated on photographs.

Weights are quantised for each output channel, activations for each tensor by its range on the
photographs. The file is kept only if the AP of boxes, and of masks if there are any, drops little
on the validation images.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from app.engine.config.traits import Form
from app.engine.errors import CheckpointError, ConfigError, ExportError
from app.engine.export import onnx as onnx_export
from app.engine.export._accuracy import coco_metrics
from app.engine.export._job import ExportJob, Steps
from app.engine.export._quantize import last_convolutions, quantized, score_convolutions
from app.engine.export._write import set_metadata
from app.engine.predictor.onnx_card import FILE_NAMES, OnnxCard
from app.engine.predictor.onnx_predictor import OnnxPredictor
from common.files import sha256_of, write_atomically

logger = logging.getLogger(__name__)

TRAITS = Form(
    of_trainings=True,
    condition="with a validation set; left out if it loses over one point of AP",
    needs_graph=True,
    needs_validation=True,
)

FILE_NAME = FILE_NAMES["int8"]
REPORT_NAME = "model.int8.json"
MAX_AP_LOSS = 1.0
"""Largest accepted loss, in points of AP (0..100)."""

_PREFIXES = {"bbox": "", "segm": "mask_"}
"""IoU type -> prefix of its figures in the report."""

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
    set_metadata(smaller, replace(card, precision="int8", accuracy=accuracy).metadata())
    path, report = job.directory / FILE_NAME, job.directory / REPORT_NAME
    write_atomically(path, smaller.SerializeToString())
    write_atomically(report, json.dumps(accuracy, indent=2) + "\n")
    logger.info("Saved %s: %s", path, accuracy)
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


def _best_attempt(
    job: ExportJob, model: onnx.ModelProto
) -> tuple[onnx.ModelProto, Mapping[str, float]]:
    """Quantise all convolutions, else all but those of scores, else all but the last ones.

    ExportError if none of the three attempts keeps the AP.
    """
    last = last_convolutions(model)
    scores = [name for name in last if name in set(score_convolutions(model))]
    attempts: Sequence[Sequence[str]] = ([], scores, last)
    num_images = len(job.validation) + len(attempts) * (len(job.images) + len(job.validation))
    step = Steps(job.progress, num_images, start=_WRITING)
    losses = []
    with TemporaryDirectory(prefix="export-") as folder:
        source, target = (Path(folder) / name for name in FILE_NAMES.values())
        source.write_bytes(model.SerializeToString())
        before, reader = _ap(source, job, step), OnnxPredictor(source)
        for kept in attempts:
            smaller = quantized(model, reader, job.images, excluded=kept, on_image=step)
            target.write_bytes(smaller.SerializeToString())
            after = _ap(target, job, step)
            logger.info(
                "int8, %d convolutions left in float: AP %s -> %s", len(kept), before, after
            )
            losses.append(max(before[iou_type] - after[iou_type] for iou_type in before))
            if losses[-1] <= MAX_AP_LOSS:
                return smaller, _report(job, before, after, kept)
    raise ExportError(
        f"{FILE_NAME}: 8-bit integers cost {min(losses):.1f} points of AP on "
        f"{len(job.validation)} validation images ({' or '.join(before)}), more than the "
        f"{MAX_AP_LOSS:g} allowed; the file is not kept, use fp32"
    )


def _ap(path: Path, job: ExportJob, on_image: Callable[[], None]) -> Mapping[str, float]:
    """Return the AP of bbox and, if there are masks, of segm."""
    results = coco_metrics(
        path, job.validation, job.class_names, num_workers=job.num_workers, on_image=on_image
    )
    return {iou_type: round(metrics["AP"], 3) for iou_type, metrics in results.items()}


def _report(
    job: ExportJob, before: Mapping[str, float], after: Mapping[str, float], kept: Sequence[str]
) -> Mapping[str, float]:
    figures: dict[str, float] = {}
    for iou_type, ap in before.items():
        prefix = _PREFIXES[iou_type]
        figures[f"{prefix}ap_fp32"] = ap
        figures[f"{prefix}ap_int8"] = after[iou_type]
        figures[f"{prefix}ap_loss"] = round(ap - after[iou_type], 3)
    return {
        **figures,
        "max_ap_loss": MAX_AP_LOSS,
        "validation_images": len(job.validation),
        "calibration_images": len(job.images),
        "convolutions_in_float": len(kept),
    }
