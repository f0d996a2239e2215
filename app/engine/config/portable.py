"""A config for other machines, without the folders of this machine."""

from pathlib import PurePath

from app.engine.config.node import CfgNode


def portable(cfg: CfgNode, *, weights: str | None = None) -> CfgNode:
    """Return a copy, not frozen, without paths that are valid on this machine only.

    weights  new MODEL.WEIGHTS, relative to the folder of the config; None keeps the value of
             `cfg`, but only the file name of an absolute path

    OUTPUT_DIR becomes empty, which means the folder of the config for `app.cli`.
    """
    own = cfg.clone()
    own.defrost()
    own.MODEL.WEIGHTS = _without_folders(str(cfg.MODEL.WEIGHTS)) if weights is None else weights
    own.OUTPUT_DIR = ""
    for key in ("PROPOSAL_FILES_TRAIN", "PROPOSAL_FILES_TEST"):
        own.DATASETS[key] = tuple(_without_folders(str(file)) for file in cfg.DATASETS[key])
    # The index of a GPU is specific to this machine.
    own.MODEL.DEVICE = str(cfg.MODEL.DEVICE).partition(":")[0]
    return own


def _without_folders(path: str) -> str:
    is_address = "://" in path and not path.startswith("file://")
    leads_anywhere = path.startswith("~") or ".." in PurePath(path).parts
    if is_address or not (PurePath(path).is_absolute() or leads_anywhere or "://" in path):
        return path
    return PurePath(path).name
