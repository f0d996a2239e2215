"""The search for the files of a trained model, in all layouts of a folder of models.

In all layouts (a folder for each stage, the flat folder of older platforms, a copy of either) the
files that the caller lists are tried first, then the folder is searched, best stage first.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.engine.errors import CheckpointError
from common.limited_yaml import YamlError, read_yaml

logger = logging.getLogger(__name__)

WEIGHTS_SUFFIXES = (".pth", ".pt", ".pkl", ".pyth", ".safetensors", ".ckpt", ".pth.tar")
PREFERRED_NAMES = ("model.pth", "model_final.pth", "best.pth")
_STAGE_LISTS = (("result.yaml", "model_stages"), ("ymir-info.yaml", "stages"))
"""Files that name the best stage, with the key under which they list the stages."""


@dataclass(frozen=True)
class ModelFiles:
    """One usable model.

    weights  file with the parameters
    config   the engine's YAML beside it, or None for a foreign model
    """

    weights: Path
    config: Path | None


def find_model(listed: Sequence[Path], models_dir: Path) -> ModelFiles:
    """Return the model among the files that are listed, else below `models_dir`.

    Raises CheckpointError if there are no weights, or a listed path leads out of `models_dir`.
    """
    for path in listed:
        _refuse_escape(path, models_dir)
    weights = _best_weights(path for path in listed if path.is_file())
    if weights is None:
        for path in listed:
            if path.name.endswith(WEIGHTS_SUFFIXES):
                raise CheckpointError(
                    f"{path}: {_why_unusable(path)}, although config.yaml lists it; copy it"
                    " there, or correct the list"
                )
        weights = _best_weights(_search(models_dir))
    if weights is None:
        raise CheckpointError(
            f"{models_dir}: no weights found (looked for {', '.join(WEIGHTS_SUFFIXES)})"
            f"{_hint(models_dir)}; "
            "choose a model trained by this image or upload a detectron2 checkpoint"
        )
    return ModelFiles(weights, _config_beside(weights, listed, models_dir))


def look_for_model(models_dir: Path) -> ModelFiles | None:
    """Return a model that is not listed, best stage first; None if there is none.

    Logs when there are only other files, or several models.
    """
    files = list(dict.fromkeys(_search(models_dir)))
    weights = _best_weights(files)
    if weights is None:
        others = [path.name for path in files if path.name not in dict(_STAGE_LISTS)]
        hint = _hint(models_dir)
        if others or hint:
            logger.warning(
                "%s: no weights to start from (looked for %s)%s; files there: %s",
                models_dir,
                ", ".join(WEIGHTS_SUFFIXES),
                hint,
                ", ".join(others[:5]) or "none",
            )
        return None
    others = [
        str(path) for path in files if path.name.endswith(WEIGHTS_SUFFIXES) and path != weights
    ]
    if others:
        logger.info(
            "%s: %d files with weights; %s is taken, and pretrained_model_params can choose "
            "another, such as %s",
            models_dir,
            len(others) + 1,
            weights,
            others[0],
        )
    return ModelFiles(weights, _config_beside(weights, (), models_dir))


def _why_unusable(path: Path) -> str:
    if path.is_dir():
        return "is a folder, not a file with weights"
    if path.is_symlink():
        return "is a link to a file that is not there, or not in the folder of models"
    return "there is no such file" if not path.exists() else "is no file"


def _hint(models_dir: Path) -> str:
    """Describe a path that is named like a weights file but is none."""
    for path in sorted(models_dir.rglob("*")):
        if path.name.endswith(WEIGHTS_SUFFIXES) and not _is_file_below(path, models_dir):
            return f": {path} {_why_unusable(path)}"
    return ""


def find_onnx(name: str, listed: Sequence[Path], models_dir: Path) -> Path | None:
    """Return the exported model `name`: listed, else below `models_dir`, best stage first."""
    for path in listed:
        _refuse_escape(path, models_dir)
    listed_files = (path for path in listed if path.is_file())
    for path in (*listed_files, *_search(models_dir)):
        if path.name == name:
            return path
    return None


def package_class_names(models_dir: Path) -> list[str] | None:
    """Return the class names in the platform's ymir-info.yaml, or None."""
    info_file = models_dir / "ymir-info.yaml"
    if not info_file.is_file():
        return None
    info = _read_package_file(info_file)
    executor_config = info.get("executor_config") or {}
    names = executor_config.get("class_names") if isinstance(executor_config, dict) else None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _is_file_below(path: Path, folder: Path) -> bool:
    """Whether `path` is a file inside the folder, also after `..` and links are resolved."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except OSError:  # such as a name of 5000 characters or a cycle of links
        return False


def _refuse_escape(path: Path, models_dir: Path) -> None:
    if not path.resolve().is_relative_to(models_dir.resolve()):
        raise CheckpointError(
            f"{path}: model files must lie in {models_dir}; copy the file there and list that path"
        )


def _search(models_dir: Path) -> Iterable[Path]:
    """Return every file below the folder: those of the best stage first, then by name."""
    try:
        best = _best_stage_files(models_dir)
        below = sorted(path for path in models_dir.rglob("*") if _is_ours(path, models_dir))
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or models_dir}: cannot be read ({error.strerror}); check what is "
            "mounted there"
        ) from error
    return [*best, *below]


def _is_ours(path: Path, models_dir: Path) -> bool:
    """Whether a file is a user's: not hidden (`._model.pth`), not part of an unpacked model."""
    parts = path.relative_to(models_dir).parts
    hidden = any(part.startswith(".") or part in ("__MACOSX", "@eaDir") for part in parts)
    return not hidden and path.name != "data.pkl" and _is_file_below(path, models_dir)


def _best_stage_files(models_dir: Path) -> list[Path]:
    for file_name, key in _STAGE_LISTS:
        if (models_dir / file_name).is_file():
            found = _files_of_best(_read_package_file(models_dir / file_name), key, models_dir)
            if found:
                return found
    return []


def _files_of_best(content: dict[str, Any], key: str, models_dir: Path) -> list[Path]:
    name = str(content.get("best_stage_name", ""))
    stage: Any = content.get(key)
    for part in (name, "files"):
        stage = stage.get(part) if isinstance(stage, dict) else None
    files = [file for file in stage if isinstance(file, str)] if isinstance(stage, list) else []
    candidates = [folder / file for file in files for folder in (models_dir / name, models_dir)]
    return [path for path in candidates if _is_file_below(path, models_dir)]


def _read_package_file(path: Path) -> dict[str, Any]:
    """Read YAML that describes a model; CheckpointError if it is damaged."""
    try:
        return dict(read_yaml(path).value)
    except YamlError as error:
        raise CheckpointError(f"{path}: damaged ({error}); copy the model again") from error


def _best_weights(paths: Iterable[Path]) -> Path | None:
    """Return the first file with a preferred name, else the first that can hold weights."""
    usable = [path for path in paths if path.name.endswith(WEIGHTS_SUFFIXES)]
    for name in PREFERRED_NAMES:
        for path in usable:
            if path.name == name:
                return path
    return usable[0] if usable else None


def _config_beside(weights: Path, listed: Sequence[Path], models_dir: Path) -> Path | None:
    for folder in (weights.parent, *(path.parent for path in listed), models_dir):
        config = folder / "config.yaml"
        if config.is_file():
            return config
    return None
