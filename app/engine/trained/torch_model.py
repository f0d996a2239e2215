"""The check and loading of a trained model's weights in torch."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from app.engine.checkpoint.files import read_checkpoint
from app.engine.checkpoint.load import named_classes
from app.engine.config import CfgNode, num_classes
from app.engine.config.tiles import with_tiles
from app.engine.errors import CheckpointError, ConfigError, ObjectKindError
from app.engine.predictor import Predictor
from app.engine.predictor.streams import MAX_STREAMS
from app.engine.trained.devices import computes_bfloat16
from app.engine.trained.inference_config import inference_config
from app.engine.trained.model_files import ModelFiles, package_class_names
from app.engine.trained.opening import Kind, ModelPlace, Opening, tell_tiles
from app.engine.trained.output_names import finds_classes, model_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TorchModel:
    """A model with the names of its classes, in the order of its outputs, and its config."""

    predictor: Predictor
    class_names: list[str]
    cfg: CfgNode


def open_torch_model(place: ModelPlace, opening: Opening) -> TorchModel:
    """Load the weights of a place.

    Raises CheckpointError if there is no usable model or its classes are unknown, ObjectKindError
    if it does not find the wanted kind of object.
    """
    files, device = place.files(), opening.device
    if files.config is None:
        raise CheckpointError(
            f"{files.weights}: no config.yaml lies beside the weights; put the model's config "
            "there (its detectron2 YAML with MODEL.CLASS_NAMES) and choose the model again"
        )
    try:
        cfg = inference_config(files.config, opening)
    except ConfigError as error:
        raise CheckpointError(
            f"{error} (the config of the model in {place.folder}: copy the model again, or choose "
            "another)"
        ) from error
    cfg = with_tiles(cfg, opening.tile_size, opening.tile_overlap)
    _check_kind(cfg, opening.kind)
    names = _class_names(cfg, files, place, opening)
    if device != "cpu":
        torch.cuda.set_device(device)  # pinned memory would otherwise open the first GPU too
    logger.info("model: %s (%s), classes: %s", files.weights, device, ", ".join(names))
    streams = streams_on_cpu(opening.batch_size, opening.num_images) if device == "cpu" else 1
    predictor = Predictor.from_files(
        cfg,
        files.weights,
        batch_size=max(opening.batch_size // streams, 1),
        streams=streams,
        precision=_precision(opening.precision, device),
        boxes_only=opening.kind == "boxes",
    )
    tell_tiles(predictor.grid, opening)
    return TorchModel(predictor, names, cfg)


def streams_on_cpu(batch_size: int, num_images: int) -> int:
    """Return the number of parallel batches, which share the `batch_size` images in memory."""
    return max(min(torch.get_num_threads(), MAX_STREAMS, batch_size, num_images), 1)


def _check_kind(cfg: CfgNode, kind: Kind) -> None:
    if kind != "all" and not finds_classes(cfg):
        raise ObjectKindError(
            f"the model ({cfg.MODEL.META_ARCHITECTURE}) finds no boxes of classes; choose a "
            "detection or instance segmentation model"
        )
    if kind == "masks" and not cfg.MODEL.MASK_ON:
        raise ObjectKindError("the model finds boxes only; choose a Mask R-CNN model")


def _class_names(cfg: CfgNode, files: ModelFiles, place: ModelPlace, opening: Opening) -> list[str]:
    """Return the class names of the model, else of its package, its weights, or the caller."""
    if not finds_classes(cfg):
        return list(model_names(cfg).stuff)
    expected, asked = num_classes(cfg), list(opening.class_names)
    for names in _known_names(cfg, files, place, opening):
        if names and len(names) == expected:
            if asked and asked != names:
                logger.warning(
                    "class_names (%s) are not the model's (%s), which are used",
                    ", ".join(asked),
                    ", ".join(names),
                )
            return names
    if opening.kind != "all":
        raise CheckpointError(
            f"the model has {expected} classes but class_names lists {len(asked)}; "
            "list the names the model was trained with, in their order"
        )
    logger.warning("%s: the names of its %d classes are unknown", files.weights, expected)
    return [f"class {number}" for number in range(1, expected + 1)]


def _known_names(
    cfg: CfgNode, files: ModelFiles, place: ModelPlace, opening: Opening
) -> Iterator[list[str]]:
    yield list(model_names(cfg).classes)
    yield package_class_names(place.folder) or []
    yield named_classes(read_checkpoint(files.weights))
    yield list(opening.class_names)


def _precision(asked: str, device: str) -> str:
    """Resolve `auto`: bfloat16 on GPUs that support it, exact float32 everywhere else."""
    if asked != "auto":
        return asked
    return "bf16" if device != "cpu" and computes_bfloat16(device) else "fp32"
