"""The search and checks of a training's config file, without torch.

Both the check before a run and the training itself use this module.
"""

import math
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from app.engine.config import CfgNode, load_config, results
from app.places import CONFIG_ROOT
from app.tasks.args_options import EngineOptions
from executor.errors import ConfigError, ObjectTypeError
from executor.hyperparameters import INSTANCE_SEGMENTATION, TrainHyperparameters
from executor.mounts import mounted

_FAMILIES = {
    "mask|seg": "configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
    "faster|rcnn": "configs/COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml",
    "fcos|centernet|detr": "configs/COCO-Detection/fcos_R_50_FPN_1x.yaml",
    "efficient": "configs/EfficientNet/retinanet_efficientnet_b4_FPN.yaml",
    "yolo|ssd|nano|mobile|tiny|lite|fast": "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml",
}
"""Pattern in the name of another trainer's model -> the most similar config here."""

_NEAR = 0.75  # difflib ratio of file names above which one counts as a misspelling


def named_config(hp: TrainHyperparameters, options: EngineOptions) -> CfgNode:
    """Load the config file of `hp` with the keys of `args_options`; ConfigError if wrong."""
    return load_config(config_path(hp.config_file), options.overrides, origin="args_options")


def config_path(config_file: str) -> Path:
    """Return the YAML that `config_file` names, in this product's `configs/` or below /in.

    Raises ConfigError if there is none, or if the path leads elsewhere.
    """
    path = (CONFIG_ROOT / mounted(config_file)).resolve()
    folders = (CONFIG_ROOT / "configs", Path(mounted("/in")))
    is_inside = any(path.is_relative_to(folder) for folder in folders)
    if is_inside and path.is_file():
        return path
    wrong = "is no file" if is_inside else "lies outside configs/ and /in, where it must be"
    raise ConfigError(
        f"config_file: {config_file} {wrong}; did you mean {suggested_config(config_file)!r}?"
    )


def named_configs() -> list[Path]:
    """Return the configs of models by name, without bases and detectron2's test configs."""
    return [
        path
        for path in sorted((CONFIG_ROOT / "configs").rglob("*.yaml"))
        if not path.name.startswith("Base") and "quick_schedules" not in path.parts
    ]


def suggested_config(name: str) -> str:
    """Return the config that `name` most likely means, but never a base config."""
    configs = (CONFIG_ROOT / "configs").rglob("*.yaml")
    known = {
        file.stem.lower(): str(file.relative_to(CONFIG_ROOT))
        for file in sorted(configs, reverse=True)  # COCO-Detection comes last and wins
        if not file.name.startswith("Base-")
    }
    stem = Path(name).stem.lower()
    if near := get_close_matches(stem, known, n=1, cutoff=_NEAR):
        return known[near[0]]
    family = next((found for words, found in _FAMILIES.items() if re.search(words, stem)), None)
    return family or str(TrainHyperparameters.model_fields["config_file"].default)


def wrong_kinds(cfg: CfgNode, object_type: int) -> Iterator[str]:
    """Yield reasons why the model of a config does not find the task's kind of object."""
    if cfg.MODEL.KEYPOINT_ON or results(cfg) != ("bbox",):
        yield (
            "config_file: this model finds no boxes of classes (it is for keypoints, proposals or "
            "semantic maps); choose a detection or instance segmentation config"
        )
    elif cfg.MODEL.LOAD_PROPOSALS:
        yield (
            "config_file: this model learns from proposals that were computed beforehand, and a "
            "platform has none; choose one with a proposal network of its own"
        )
    elif object_type == INSTANCE_SEGMENTATION and not cfg.MODEL.MASK_ON:
        yield (
            "config_file: object_type 4 asks for instance segmentation but this model finds boxes "
            "only; choose one of configs/COCO-InstanceSegmentation"
        )


def finds(cfg: CfgNode, object_type: int) -> bool:
    """Whether the model of a config finds the task's kind of object."""
    return not any(wrong_kinds(cfg, object_type))


def check_model(cfg: CfgNode, object_type: int) -> None:
    """ObjectTypeError unless the model finds the task's kind of object."""
    for reason in wrong_kinds(cfg, object_type):
        raise ObjectTypeError(reason)


def learning_rate_for(cfg: CfgNode, batch_size: int) -> float:
    """Return the config file's learning rate, scaled with the batch size.

    The scale is linear for SGD (arXiv:1706.02677) and a square root for AdamW (arXiv:2205.10287).
    """
    solver = cfg.SOLVER
    share = batch_size / solver.IMS_PER_BATCH
    factor = share if solver.OPTIMIZER == "SGD" else math.sqrt(share)
    return float(solver.BASE_LR * factor)
