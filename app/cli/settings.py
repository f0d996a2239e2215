"""From options to a frozen config, devices, weights, and a model that is ready to detect."""

from pathlib import Path

import torch

from app.cli.arguments import Options
from app.engine.checkpoint.load import load_weights
from app.engine.checkpoint.weights import find_weights
from app.engine.config import CfgNode, load_config
from app.engine.errors import CheckpointError, ConfigError
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector
from app.tasks.engine_config import CONFIG_ROOT
from app.tasks.weights_folders import weights_folders

FINAL_WEIGHTS = "model_final.pth"


def open_config(options: Options) -> CfgNode:
    """The frozen config; ConfigError for what is wrong in it, or a GPU that is not there."""
    misplaced = [text for text in options.overrides[::2] if text.startswith("--")]
    if misplaced:
        raise ConfigError(f"{misplaced[0]} stands after KEY VALUE pairs; put it before them")
    cfg = load_config(config_path(options.config_file), options.overrides)
    if options.output is not None:
        cfg.OUTPUT_DIR = str(options.output)
    if options.resume and options.verb == "evaluate":
        cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR) / FINAL_WEIGHTS)
    cfg.DATASETS.PROPOSAL_FILES_TRAIN = _proposal_files(cfg.DATASETS.PROPOSAL_FILES_TRAIN, options)
    cfg.DATASETS.PROPOSAL_FILES_TEST = _proposal_files(cfg.DATASETS.PROPOSAL_FILES_TEST, options)
    cfg.freeze()
    if options.verb != "export" and is_on_gpu(cfg) and not torch.cuda.is_available():
        raise ConfigError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE}, but no GPU can be used here; give one, or add "
            "MODEL.DEVICE cpu"
        )
    return cfg


def config_path(config_file: str) -> Path:
    """A YAML file as named, else below configs/ as detectron2's model zoo names it."""
    candidates = [
        Path(config_file),
        CONFIG_ROOT / config_file,
        CONFIG_ROOT / "configs" / config_file,
    ]
    return next((path for path in candidates if path.is_file()), candidates[0])


def is_on_gpu(cfg: CfgNode) -> bool:
    """Whether MODEL.DEVICE is a GPU."""
    return str(cfg.MODEL.DEVICE).startswith("cuda")


def initial_weights(cfg: CfgNode, options: Options) -> Path | None:
    """The file that MODEL.WEIGHTS names, also beside the config; None for ''."""
    beside = config_path(options.config_file).parent
    folders = [*options.weights_dirs, beside, *weights_folders()]
    return find_weights(cfg.MODEL.WEIGHTS, folders, allow_download=True)


def require_weights(cfg: CfgNode, options: Options) -> Path:
    """The same, where there is nothing to do without."""
    weights = initial_weights(cfg, options)
    if weights is None:
        raise ConfigError(
            f"MODEL.WEIGHTS is empty: there is nothing to {options.verb}; add MODEL.WEIGHTS FILE"
        )
    return weights


def open_model(cfg: CfgNode, weights: Path) -> Detector:
    """The model of a config, filled by the file."""
    model = build_detector(cfg)
    load_weights(model, weights).require_whole(cfg.MODEL.CLASS_NAMES)
    return model.eval()


def _proposal_files(files: tuple[str, ...], options: Options) -> tuple[str, ...]:
    """Addresses become local files."""
    found = []
    for file in files:
        if "://" not in file:
            found.append(file)
            continue
        folders = [*options.weights_dirs, *weights_folders()]
        try:
            found.append(str(find_weights(file, folders, allow_download=True)))
        except CheckpointError as error:
            raise ConfigError(
                f"DATASETS.PROPOSAL_FILES_*: {file} is not at hand and cannot be downloaded;"
                " copy it here and give its path"
            ) from error
    return tuple(found)
