"""The search, check and loading of the torch model for mining and infer."""

import logging
from dataclasses import dataclass

import torch

from app.engine.config import CfgNode, num_classes, results
from app.engine.errors import ConfigError
from app.engine.predictor import Predictor
from app.engine.predictor.streams import MAX_STREAMS
from app.tasks.devices import computes_bfloat16
from app.tasks.engine_config import inference_config
from app.tasks.model_files import find_model, package_class_names
from executor.env import Env
from executor.errors import ModelError, ObjectTypeError
from executor.hyperparameters import InferHyperparameters, MiningHyperparameters

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TorchModel:
    """A model with the names of its classes, in the order of its outputs."""

    predictor: Predictor
    class_names: list[str]


def open_torch_model(
    env: Env,
    hp: InferHyperparameters | MiningHyperparameters,
    *,
    device: str,
    score_threshold: float,
    boxes_only: bool = True,
    num_images: int,
) -> TorchModel:
    """Load the model of /in/models for a stream of `num_images`.

    `score_threshold` replaces the model's own lower limit of scores; `boxes_only` skips the masks.
    Raises ModelError if there is no usable model or its classes are unknown, ObjectTypeError if it
    does not find the task's kind of object.
    """
    files = find_model(hp.model_params_path, env.input.models_dir)
    if files.config is None:
        raise ModelError(
            f"{files.weights}: no config.yaml lies beside the weights; put the model's config "
            "there (its detectron2 YAML with MODEL.CLASS_NAMES) and choose the model again"
        )
    try:
        cfg = inference_config(files.config, hp, device=device, score_threshold=score_threshold)
    except ConfigError as error:
        raise ModelError(
            f"{error} (the config of the model in {env.input.models_dir}: copy the model again, or "
            "choose another)"
        ) from error
    _check_task(cfg, boxes_only=boxes_only)
    names = _class_names(cfg, hp.class_names, package_class_names(env.input.models_dir))
    if device != "cpu":
        torch.cuda.set_device(device)  # pinned memory would otherwise open the first GPU too
    logger.info("model: %s (%s), classes: %s", files.weights, device, ", ".join(names))
    streams = streams_on_cpu(hp.batch_size, num_images) if device == "cpu" else 1
    predictor = Predictor.from_files(
        cfg,
        files.weights,
        batch_size=max(hp.batch_size // streams, 1),
        streams=streams,
        precision=_precision(hp.precision, device),
        boxes_only=boxes_only,
    )
    return TorchModel(predictor, names)


def streams_on_cpu(batch_size: int, num_images: int) -> int:
    """Return the number of parallel batches, which share the `batch_size` images in memory."""
    return max(min(torch.get_num_threads(), MAX_STREAMS, batch_size, num_images), 1)


def _check_task(cfg: CfgNode, *, boxes_only: bool) -> None:
    if "bbox" not in results(cfg):
        raise ObjectTypeError(
            f"the model ({cfg.MODEL.META_ARCHITECTURE}) finds no boxes of classes; choose a "
            "detection or instance segmentation model"
        )
    if not boxes_only and not cfg.MODEL.MASK_ON:
        raise ObjectTypeError(
            "object_type 4 asks for instance segmentation but the model finds boxes only; choose "
            "a Mask R-CNN model, or object_type 2"
        )


def _class_names(cfg: CfgNode, asked: tuple[str, ...], packaged: list[str] | None) -> list[str]:
    """Return the class names of the model, else of the package, else of config.yaml."""
    own = [str(name) for name in cfg.MODEL.CLASS_NAMES]
    expected = num_classes(cfg)
    for names in (own, packaged or [], list(asked)):
        if names and len(names) == expected:
            if asked and list(asked) != names:
                logger.warning(
                    "class_names (%s) are not the model's (%s), which are used",
                    ", ".join(asked),
                    ", ".join(names),
                )
            return names
    raise ModelError(
        f"the model has {expected} classes but class_names lists {len(asked)}; "
        "list the names the model was trained with, in their order"
    )


def _precision(asked: str, device: str) -> str:
    """Resolve `auto`: bfloat16 on GPUs that support it, exact float32 everywhere else."""
    if asked != "auto":
        return asked
    return "bf16" if device != "cpu" and computes_bfloat16(device) else "fp32"
