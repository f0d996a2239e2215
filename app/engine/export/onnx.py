"""Exports `model.onnx`: the whole detector from pixels to final boxes, for ONNX Runtime etc."""

import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from app.engine.config import class_section
from app.engine.config.exportable import export_faults
from app.engine.config.traits import Form
from app.engine.data.loading.image_reader import ResizedImage
from app.engine.errors import ExportError, ImageError
from app.engine.export._accuracy import PREFIXES, coco_metrics
from app.engine.export._graphs import Graph, graph_of
from app.engine.export._job import ExportJob, Steps, time_passing
from app.engine.export._speed import speed
from app.engine.export._verify import MIN_MATCHED_GUESSES, Agreement, compare
from app.engine.export._write import set_metadata, to_onnx
from app.engine.predictor.onnx_card import FILE_NAMES, OnnxCard
from app.engine.predictor.onnx_predictor import OnnxPredictor
from common.files import sha256_of, write_atomically

logger = logging.getLogger(__name__)

TRAITS = Form(of_trainings=True, needs_graph=True)

FILE_NAME = FILE_NAMES["fp32"]
NUM_COMPARED = 8
"""Number of photographs on which file and engine are compared."""

_WRITING = 0.5
"""Share of the work that writing takes; the rest is for the validation images."""

_SECONDS = 60.0
"""Approximate duration of torch's export."""


def export(job: ExportJob) -> list[Path]:
    """Write DIRECTORY/model.onnx if its detections on photographs agree with the engine's."""
    path = job.directory / FILE_NAME
    share = _WRITING if job.validation else 1.0
    model, card = verified_model(replace(job, progress=lambda done: job.progress(share * done)))
    card = replace(card, **_figures(job, model))
    set_metadata(model, card.metadata())
    write_atomically(path, model.SerializeToString())
    logger.info("Saved %s: %s, %s", path, dict(card.accuracy), dict(card.speed))
    return [path]


def _figures(job: ExportJob, model: onnx.ModelProto) -> dict[str, Any]:
    """Return `accuracy` and `speed` of the card, as far as there are images to measure them."""
    figures: dict[str, Any] = {}
    with TemporaryDirectory(prefix="export-") as folder:
        path = Path(folder) / FILE_NAME
        path.write_bytes(model.SerializeToString())
        figures["speed"] = speed(job, path, precision="fp32")
        if job.validation:
            step = Steps(job.progress, len(job.validation), start=_WRITING)
            results = coco_metrics(
                path, job.validation, job.class_names, num_workers=job.num_workers, on_image=step
            )
            figures["accuracy"] = {
                **{
                    f"{PREFIXES[t]}{metric.lower()}": round(found[metric], 3)
                    for t, found in results.items()
                    for metric in ("AP", "AP50")
                },
                "validation_images": len(job.validation),
            }
    return figures


def verified_model(job: ExportJob) -> tuple[onnx.ModelProto, OnnxCard]:
    """Return the model as ONNX with its card; ExportError if it has no graph or does not agree."""
    for fault in export_faults(dict(job.cfg.leaves()), ["onnx"]):
        raise ExportError(fault.text)
    graph = graph_of(job.model)
    card = card_of(job, graph)
    logger.info("Writing %s as ONNX: takes about a minute", card.architecture)
    with time_passing(job.progress, _SECONDS):
        metadata = card.metadata()
        model = to_onnx(
            graph.module,
            graph.outputs,
            channels=_channels(card),
            metadata=metadata,
            size=graph.size,
        )
        agreement = _compare(job, graph, model)
    figures = agreement.figures()
    if not agreement.is_enough:
        raise ExportError(
            f"{FILE_NAME}: only {agreement.matched:.1%} of {agreement.num_objects} objects agree "
            f"with the engine's on {agreement.num_images} images (IoU of their masks "
            f"{agreement.mask_iou:.3f}); the file is not kept, use the weights themselves"
        )
    logger.info("ONNX agrees with the engine: %s", figures)
    card = replace(card, agreement=figures)
    set_metadata(model, card.metadata())
    return model, card


def card_of(job: ExportJob, graph: Graph) -> OnnxCard:
    """Return the card of the file."""
    cfg = job.cfg
    return OnnxCard(
        class_names=tuple(job.class_names),
        architecture=str(cfg.MODEL.META_ARCHITECTURE),
        image_format=str(cfg.INPUT.FORMAT),
        bits_per_sample=int(cfg.INPUT.BITS_PER_SAMPLE),
        float_white=float(cfg.INPUT.FLOAT_WHITE),
        min_size=int(cfg.INPUT.MIN_SIZE_TEST),
        max_size=int(cfg.INPUT.MAX_SIZE_TEST),
        fixed_size=tuple(cfg.INPUT.FIXED_SIZE),
        size_divisibility=max(graph.module.detector.size_divisibility, 1),
        score_thresh=graph.score_thresh,
        tile_size=int(cfg.INPUT.TILES.SIZE),
        tile_overlap=int(cfg.INPUT.TILES.OVERLAP),
        tile_whole_image=bool(cfg.INPUT.TILES.WHOLE_IMAGE),
        nms_thresh=float(cfg.MODEL[class_section(cfg)].NMS_THRESH_TEST),
        max_detections=int(cfg.TEST.DETECTIONS_PER_IMAGE),
        has_masks="masks" in graph.outputs,
        weights_sha256="" if job.weights is None else sha256_of(job.weights),
    )


def read_images(predictor: OnnxPredictor, paths: tuple[Path, ...]) -> list[ResizedImage]:
    """Read the images, of photographs the middle tile; log and skip unreadable ones."""
    images = []
    for path in paths:
        try:
            images.append(predictor.example(path))
        except ImageError as error:
            logger.warning("%s", error)
    return images


def _compare(job: ExportJob, graph: Graph, model: onnx.ModelProto) -> Agreement:
    with TemporaryDirectory(prefix="export-") as folder:
        path = Path(folder) / FILE_NAME
        path.write_bytes(model.SerializeToString())
        predictor = OnnxPredictor(path)
        images = read_images(predictor, tuple(job.images[:NUM_COMPARED]))
        if not images:
            logger.warning("no photograph to compare with: a made-up picture is taken")
            images = [predictor.reader.resized(made_up(_channels(predictor.card)))]
        detector, threshold = graph.module.detector, graph.score_thresh
        agreement = compare(detector, predictor, images, score_threshold=threshold)
        if agreement.num_objects:
            return agreement
        logger.info("no score above %g: the model's best guesses are compared", threshold)
        return compare(
            detector,
            OnnxPredictor(path, score_threshold=0.0),
            images,
            score_threshold=0.0,
            min_matched=MIN_MATCHED_GUESSES,
        )


def made_up(channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return coarse coloured noise: (480, 640, channels)."""
    coarse = np.random.default_rng(0).integers(0, 256, (15, 20, channels), dtype=np.uint8)
    return coarse.repeat(32, axis=0).repeat(32, axis=1)


def _channels(card: OnnxCard) -> int:
    return 1 if card.image_format == "L" else 3
