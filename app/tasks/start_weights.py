"""The start of a training: the chosen model, the one in /in/models, or the config's weights.

The first that exists is used: a checkpoint of the same training (then no weights are needed);
`pretrained_model_params`; MODEL.WEIGHTS in args_options; a model in /in/models; MODEL.WEIGHTS of
the config file. Weights that do not fit are reported before any data is read.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.engine.checkpoint.load import check_weights
from app.engine.checkpoint.store import CheckpointStore
from app.engine.config import CfgNode, load_config
from app.engine.config.yaml_file import read_config
from app.engine.errors import CheckpointError, ConfigError
from app.engine.modeling.detector import Detector
from app.engine.trained.model_files import (
    ModelFiles,
    find_model,
    look_for_model,
    package_class_names,
)
from app.engine.training.state.settings import INITIAL_WEIGHTS
from app.tasks.args_options import EngineOptions
from app.tasks.weights_at_hand import find_start_weights
from executor.env import Env
from executor.errors import ModelError
from executor.hyperparameters import TrainHyperparameters

logger = logging.getLogger(__name__)

_MEANING = (
    "INPUT.FORMAT",
    "MODEL.META_ARCHITECTURE",
    "MODEL.PIXEL_MEAN",
    "MODEL.PIXEL_STD",
    "MODEL.RESNETS.STRIDE_IN_1X1",
    "MODEL.ANCHOR_GENERATOR.SIZES",
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
)
"""Keys that change the meaning of weights; if they differ, the weights are less useful."""


@dataclass(frozen=True)
class StartWeights:
    """The weights from which a training starts.

    setting      the value for MODEL.WEIGHTS
    path         the file; None for random weights, or if a checkpoint replaces it
    class_names  the classes of a found model, for weights files that do not name them
    """

    setting: str
    path: Path | None
    class_names: list[str] | None = None


def find_start(
    env: Env,
    hp: TrainHyperparameters,
    planned: CfgNode,
    options: EngineOptions,
    model: Detector,
    *,
    checkpoints: Path,
) -> StartWeights:
    """Find the start of the training `planned`, check it against its `model` and log it.

    checkpoints  folder of the training's own checkpoints
    Raises ModelError or CheckpointError if weights are damaged, missing or of another model.
    """
    state = CheckpointStore(checkpoints).load()
    if state is not None:
        logger.info(
            "training: goes on from its checkpoint in %s; weights to start from are not looked at",
            checkpoints,
        )
        return StartWeights(_first_start(state, planned), None)
    models_dir = env.input.models_dir
    files, origin = chosen_model(models_dir, hp, options)
    if files is None:
        weights = planned.MODEL.WEIGHTS
        start = StartWeights(weights, find_start_weights(weights, hp.object_type))
    else:
        names = _config_class_names(files) or package_class_names(models_dir)
        start = StartWeights(str(files.weights), files.weights, names)
    if start.path is None:
        logger.info("training: starts from random weights (%s is empty)", origin)
        return start
    try:
        report = check_weights(
            model, start.path, class_names=hp.class_names, file_class_names=start.class_names
        )
    except CheckpointError as error:
        if files is None or hp.pretrained_model_params:
            raise
        raise CheckpointError(
            f"{error} ({start.path.name} was {origin}: empty that folder, or set args_options: "
            f"MODEL.WEIGHTS, for another start)"
        ) from error
    logger.info(
        "training: starts from %s (%s): %d of %d parameters and buffers fit, %d start anew.%s",
        start.path,
        origin,
        len(report.loaded),
        report.total,
        len(report.missing) + len(report.mismatched),
        report.about_classes,
    )
    if files is not None and files.config is not None:
        _warn_of_other_meaning(files.config, planned)
    return start


def _first_start(state: Mapping[str, Any], planned: CfgNode) -> str:
    """MODEL.WEIGHTS with which a run began; checkpoints of the first release do not know it."""
    settings = state.get("settings") or {}
    return str(settings.get(INITIAL_WEIGHTS, planned.MODEL.WEIGHTS))


def chosen_model(
    models_dir: Path, hp: TrainHyperparameters, options: EngineOptions
) -> tuple[ModelFiles | None, str]:
    """Return the model to start from (None for MODEL.WEIGHTS) and the reason."""
    is_set = "MODEL.WEIGHTS" in options.overrides[::2]
    if hp.pretrained_model_params:
        origin = "pretrained_model_params"
        if is_set:
            logger.warning(
                "args_options: MODEL.WEIGHTS has no effect beside %s; take one of them out", origin
            )
        return find_model(hp.pretrained_model_params, models_dir), origin
    found = look_for_model(models_dir)
    if not is_set:
        if found is None:
            return None, "MODEL.WEIGHTS of config_file"
        return found, f"found in {models_dir}, since pretrained_model_params is not set"
    if found is not None:
        logger.warning(
            "%s is not used, because args_options sets MODEL.WEIGHTS; take that out, or set "
            "pretrained_model_params, to start from it",
            found.weights,
        )
    return None, "MODEL.WEIGHTS of args_options"


def _config_class_names(files: ModelFiles) -> list[str]:
    """Return MODEL.CLASS_NAMES of the config beside the weights; ModelError if it is damaged."""
    if files.config is None:
        return []
    try:
        model: Any = read_config(files.config).values.get("MODEL")
    except ConfigError as error:
        raise ModelError(f"{error}; the model is damaged: copy it again") from error
    names = model.get("CLASS_NAMES") if isinstance(model, dict) else None
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


def _warn_of_other_meaning(config: Path, planned: CfgNode) -> None:
    """Warn if the `config` beside the weights gives them another meaning than `planned`."""
    try:
        theirs = dict(load_config(config).leaves())
    except ConfigError as error:
        logger.warning("%s: only the weights beside it are used (%s)", config, error)
        return
    ours = dict(planned.leaves())
    for key in _MEANING:
        if ours[key] != theirs[key]:
            logger.warning(
                "%s has %s %s and this training has %s: a start from these weights is worth less; "
                "set it in args_options, or choose the config_file that the model was trained with",
                config,
                key,
                theirs[key],
                ours[key],
            )
