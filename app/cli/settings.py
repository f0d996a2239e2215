"""The frozen config, devices, weights and model of a command line."""

import logging
import re
from pathlib import Path

import torch

from app.cli.arguments import Options
from app.cli.data_sets import assign
from app.engine.checkpoint.load import load_weights
from app.engine.checkpoint.weights import find_weights
from app.engine.config import CfgNode, load_config
from app.engine.errors import CheckpointError, ConfigError
from app.engine.modeling.build import build_detector
from app.engine.modeling.detector import Detector
from app.places import weights_folders

logger = logging.getLogger(__name__)

FINAL_WEIGHTS = "model_final.pth"


def open_config(options: Options) -> CfgNode:
    """Return the frozen config; ConfigError if it is wrong or its GPU does not exist.

    An empty OUTPUT_DIR means the folder of the config file.
    """
    misplaced = [text for text in options.overrides[::2] if text.startswith("--")]
    if misplaced:
        raise ConfigError(f"{misplaced[0]} stands after KEY VALUE pairs; put it before them")
    cfg = load_config(options.config_path, options.overrides)
    cfg.OUTPUT_DIR = str(options.output or cfg.OUTPUT_DIR or options.config_path.parent)
    assign(cfg, options)
    if options.resume and options.verb == "evaluate":
        cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR) / FINAL_WEIGHTS)
    cfg.DATASETS.PROPOSAL_FILES_TRAIN = _proposal_files(cfg.DATASETS.PROPOSAL_FILES_TRAIN, options)
    cfg.DATASETS.PROPOSAL_FILES_TEST = _proposal_files(cfg.DATASETS.PROPOSAL_FILES_TEST, options)
    if options.verb != "export":
        _choose_device(cfg, options)
    cfg.freeze()
    return cfg


def _choose_device(cfg: CfgNode, options: Options) -> None:
    """Use the CPU if there is no GPU and the command line does not request one."""
    wanted = str(cfg.MODEL.DEVICE)
    if not is_on_gpu(cfg):
        logger.info("device: %s, as MODEL.DEVICE says", wanted)
        return
    if re.fullmatch(r"cuda(:\d+)?", wanted) is None:
        raise ConfigError(f"MODEL.DEVICE is {wanted}; give cpu, cuda or cuda:0")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(wanted.partition(":")[2] or 0) < available:
        more = "; --num-gpus takes more" if options.verb == "train" else ""
        logger.info("device: %s (GPUs here: %d%s)", wanted, available, more)
        return
    if options.sets("MODEL.DEVICE"):
        raise ConfigError(
            f"MODEL.DEVICE is {wanted}, but {available or 'no'} GPU can be used here; give one, or"
            " add MODEL.DEVICE cpu"
        )
    cfg.MODEL.DEVICE = "cuda" if available else "cpu"
    logger.info("device: %s, as %s cannot be used here", "cuda" if available else "the CPU", wanted)


def is_on_gpu(cfg: CfgNode) -> bool:
    """Whether MODEL.DEVICE is a GPU."""
    return str(cfg.MODEL.DEVICE).startswith("cuda")


def initial_weights(cfg: CfgNode, options: Options) -> Path | None:
    """Return the file that MODEL.WEIGHTS names, also beside the config; None for ''."""
    beside = options.config_path.parent
    folders = [*options.weights_dirs, beside, *weights_folders()]
    weights = str(cfg.MODEL.WEIGHTS)
    if weights and not options.sets("MODEL.WEIGHTS") and "://" not in weights:
        # Not in the working folder: a file of that name there is unrelated.
        for folder in (*options.weights_dirs, beside):
            if (folder / weights).is_file():
                return folder / weights
    return find_weights(cfg.MODEL.WEIGHTS, folders, allow_download=True)


def require_weights(cfg: CfgNode, options: Options) -> Path:
    """Return `initial_weights`; ConfigError if there are none."""
    weights = initial_weights(cfg, options)
    if weights is None:
        raise ConfigError(
            f"MODEL.WEIGHTS is empty: there is nothing to {options.verb}; add MODEL.WEIGHTS FILE"
        )
    return weights


def open_model(cfg: CfgNode, weights: Path) -> Detector:
    """Build the model of a config and load the weights file."""
    model = build_detector(cfg)
    load_weights(model, weights).require_whole(cfg.MODEL.CLASS_NAMES)
    return model.eval()


def _proposal_files(files: tuple[str, ...], options: Options) -> tuple[str, ...]:
    """Turn addresses into local files."""
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
