"""A config for other people and machines: it says nothing of the folders of this one."""

from pathlib import PurePath

from app.engine.config.node import CfgNode


def portable(cfg: CfgNode, *, weights: str | None = None) -> CfgNode:
    """A copy without paths that hold elsewhere no longer, not frozen.

    weights  MODEL.WEIGHTS, relative to the config's own folder; None: the config's, of which an
             address stays, and a path from the root keeps its last part

    OUTPUT_DIR is empty, which `app.cli` takes for the config's own folder.
    """
    own = cfg.clone()
    own.defrost()
    own.MODEL.WEIGHTS = _without_folders(str(cfg.MODEL.WEIGHTS)) if weights is None else weights
    own.OUTPUT_DIR = ""
    for key in ("PROPOSAL_FILES_TRAIN", "PROPOSAL_FILES_TEST"):
        own.DATASETS[key] = tuple(_without_folders(str(file)) for file in cfg.DATASETS[key])
    # Which of several GPUs is nobody else's concern.
    own.MODEL.DEVICE = str(cfg.MODEL.DEVICE).partition(":")[0]
    return own


def _without_folders(path: str) -> str:
    is_address = "://" in path and not path.startswith("file://")
    leads_anywhere = path.startswith("~") or ".." in PurePath(path).parts
    if is_address or not (PurePath(path).is_absolute() or leads_anywhere or "://" in path):
        return path
    return PurePath(path).name
