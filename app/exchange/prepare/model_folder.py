"""Copy a trained model, to mine or infer with it or to train on from it."""

import os
import shutil
from pathlib import Path

from app.engine.errors import CheckpointError

_WEIGHTS = (".pth", ".pt", ".pkl", ".pyth", ".safetensors", ".ckpt")


def models_in(folder: Path) -> Path:
    """The models folder that is meant: the folder itself, or `models` in the /out of a training.

    Raises CheckpointError if it has no weights.
    """
    inner = folder / "models"
    found = inner if inner.is_dir() else folder
    if not any(path.suffix in _WEIGHTS for path in found.rglob("*")):
        what = "holds no weights" if found.is_dir() else "is no folder"
        raise CheckpointError(
            f"--model {folder}: it {what} ({', '.join(_WEIGHTS)}); name the folder `models` of a"
            " training's results"
        )
    return found


def copy_model(source: Path, target: Path) -> None:
    """Link or copy all files."""
    shutil.copytree(source, target, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
