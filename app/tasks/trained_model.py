"""The model that infer uses: an exported file in ONNX Runtime, or the weights in torch.

An exported file is used on request (`backend`, `precision: int8`), or automatically (`backend:
auto`) if it is the faster one: on the CPU, in float32, with a backbone for small machines, and
exported from the same weights that lie beside it. Only the chosen library is imported.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.engine.config.backbone_names import is_faster_exported
from app.engine.errors import CheckpointError, ImageError
from app.engine.imports import lasting_imports
from app.engine.predictor.onnx_card import FILE_NAMES
from app.engine.predictor.streams import MAX_STREAMS
from app.tasks.model_files import find_model, find_onnx
from common.files import sha256_of
from common.host_limits import cpu_count
from executor.env import Env
from executor.errors import ConfigError, ModelError, ObjectTypeError
from executor.hyperparameters import InferHyperparameters
from executor.yaml_reader import read_yaml

logger = logging.getLogger(__name__)


class DetectsFiles(Protocol):
    """A predictor for infer; detections have boxes, scores, classes, masks, image_size."""

    group_size: int

    def detect_files(
        self, paths: Iterable[Path], *, num_workers: int = 0
    ) -> Iterator[tuple[Path, Any | ImageError]]:
        """Yield the detections of each file, in order."""
        ...


@dataclass(frozen=True)
class TrainedModel:
    """A model with the names of its classes, in the order of its outputs."""

    predictor: DetectsFiles
    class_names: list[str]


def open_model(
    env: Env,
    hp: InferHyperparameters,
    *,
    device: str,
    score_threshold: float,
    boxes_only: bool = True,
    num_images: int,
) -> TrainedModel:
    """Open the model of /in/models for a stream of `num_images`.

    `score_threshold` replaces the model's own lower limit of scores; `boxes_only` skips the masks.
    Raises ModelError if there is no usable model, ObjectTypeError if it does not find the task's
    kind of object.
    """
    asked = _is_asked_for(hp)
    path = _onnx_file(env, hp)
    if path is not None and (asked or (device == "cpu" and _is_faster(env, hp))):
        try:
            return _open_onnx(
                env,
                hp,
                path,
                device=device,
                score_threshold=score_threshold,
                boxes_only=boxes_only,
                num_images=num_images,
            )
        except (CheckpointError, ObjectTypeError) as error:
            if asked:
                raise
            logger.warning("%s; torch and the weights are used", error)
    with lasting_imports():
        from app.tasks.torch_model import open_torch_model

    torch_model = open_torch_model(
        env,
        hp,
        device=device,
        score_threshold=score_threshold,
        boxes_only=boxes_only,
        num_images=num_images,
    )
    return TrainedModel(torch_model.predictor, torch_model.class_names)


def _onnx_file(env: Env, hp: InferHyperparameters) -> Path | None:
    """Return the exported file to use, None for torch; ModelError if a requested one is missing."""
    if hp.backend == "torch" or hp.precision in ("bf16", "fp16"):
        return None
    name = FILE_NAMES["int8" if hp.precision == "int8" else "fp32"]
    path = find_onnx(name, hp.model_params_path, env.input.models_dir)
    if path is None and _is_asked_for(hp):
        raise ModelError(
            f"{env.input.models_dir}: there is no {name}; train with export set to "
            f"{'int8' if hp.precision == 'int8' else 'onnx'}, or set backend to torch and "
            "precision to fp32"
        )
    return path


def _open_onnx(
    env: Env,
    hp: InferHyperparameters,
    path: Path,
    *,
    device: str,
    score_threshold: float,
    boxes_only: bool,
    num_images: int,
) -> TrainedModel:
    """Open the exported model; CheckpointError or ObjectTypeError if it does not fit the task."""
    from app.engine.predictor.onnx_predictor import OnnxPredictor
    from app.engine.predictor.onnx_weights import check_weights

    check_weights(path)
    streams = max(min(cpu_count(), MAX_STREAMS, num_images), 1) if device == "cpu" else 1
    predictor = OnnxPredictor(
        path,
        batch_size=hp.batch_size if device != "cpu" else 1,
        score_threshold=score_threshold,
        image_size=hp.image_size,
        boxes_only=boxes_only,
        device=device,
        streams=streams,
    )
    if not _is_asked_for(hp) and not _is_of_weights_beside(predictor.card.weights_sha256, env, hp):
        raise CheckpointError(f"{path} was made from other weights than those beside it")
    if not boxes_only and not predictor.card.has_masks:
        raise ObjectTypeError(
            "object_type 4 asks for instance segmentation but the exported model finds boxes only; "
            "choose a Mask R-CNN model, or object_type 2"
        )
    names = list(predictor.card.class_names)
    if hp.class_names and list(hp.class_names) != names:
        logger.warning("class_names are not the model's (%s), which are used", ", ".join(names))
    logger.info(
        "model: %s (ONNX Runtime, %s, %s, %d at once), classes: %s",
        path,
        predictor.card.precision,
        device,
        streams if device == "cpu" else hp.batch_size,
        ", ".join(names),
    )
    return TrainedModel(predictor, names)


def _is_asked_for(hp: InferHyperparameters) -> bool:
    return hp.backend == "onnxruntime" or hp.precision == "int8"


def _is_faster(env: Env, hp: InferHyperparameters) -> bool:
    """Whether ONNX Runtime computes the model's backbone faster than torch on a CPU."""
    config = find_model(hp.model_params_path, env.input.models_dir).config
    try:
        body: Any = None if config is None else read_yaml(config).value
    except ConfigError:
        return False  # the torch path reports the error
    for key in ("MODEL", "BACKBONE", "NAME"):
        body = body.get(key) if isinstance(body, dict) else None
    return is_faster_exported(str(body))


def _is_of_weights_beside(sha256: str, env: Env, hp: InferHyperparameters) -> bool:
    """Whether the file was exported from the weights that torch would use."""
    weights = find_model(hp.model_params_path, env.input.models_dir).weights
    return sha256_of(weights) == sha256
