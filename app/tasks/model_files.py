"""Which of the files below /in/models is the model, whatever layout the platform left them in.

Layouts (the stages of 2.x, the flat folder of 1.1, the verifier's bare copy of an /out/models):
the list in config.yaml is tried first, then the folder is searched, best stage first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor.errors import ModelError
from executor.yaml_reader import read_yaml

WEIGHTS_SUFFIXES = (".pth", ".pt", ".pkl", ".pyth", ".safetensors")
PREFERRED_NAMES = ("model.pth", "model_final.pth", "best.pth")


@dataclass(frozen=True)
class ModelFiles:
    """One usable model.

    weights  file with the parameters
    config   the engine's YAML beside it, or None (a foreign model)
    """

    weights: Path
    config: Path | None


def find_model(listed: Sequence[Path], models_dir: Path) -> ModelFiles:
    """The model among the files that config.yaml lists, else anywhere below `models_dir`.

    Raises ModelError when there are no weights, or a listed path leads out of `models_dir`.
    """
    for path in listed:
        _refuse_escape(path, models_dir)
    weights = _best_weights(path for path in listed if path.is_file())
    if weights is None:
        weights = _best_weights(_search(models_dir))
    if weights is None:
        raise ModelError(
            f"{models_dir}: no weights found (looked for {', '.join(WEIGHTS_SUFFIXES)}); "
            "choose a model trained by this image or upload a detectron2 checkpoint"
        )
    return ModelFiles(weights, _config_beside(weights, listed, models_dir))


def find_onnx(name: str, listed: Sequence[Path], models_dir: Path) -> Path | None:
    """The exported model of a name: listed, else anywhere below `models_dir`, best stage first."""
    for path in listed:
        _refuse_escape(path, models_dir)
    listed_files = (path for path in listed if path.is_file())
    for path in (*listed_files, *_search(models_dir)):
        if path.name == name:
            return path
    return None


def package_class_names(models_dir: Path) -> list[str] | None:
    """Class names that the platform's package records in ymir-info.yaml, or None."""
    info_file = models_dir / "ymir-info.yaml"
    if not info_file.is_file():
        return None
    info = read_yaml(info_file).value
    executor_config = info.get("executor_config") or {}
    names = executor_config.get("class_names") if isinstance(executor_config, dict) else None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _is_file_below(path: Path, folder: Path) -> bool:
    """Whether there is such a file, reached without leaving the folder by `..` or a link."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except OSError:  # a name of 5000 characters, a circle of links
        return False


def _refuse_escape(path: Path, models_dir: Path) -> None:
    if not path.resolve().is_relative_to(models_dir.resolve()):
        raise ModelError(
            f"{path}: model files must lie in {models_dir}; copy the file there and list that path"
        )


def _search(models_dir: Path) -> Iterable[Path]:
    """Every file below the folder: those of result.yaml's best stage first, then by name."""
    best = _best_stage_files(models_dir)
    below = sorted(path for path in models_dir.rglob("*") if _is_file_below(path, models_dir))
    return [*best, *below]


def _best_stage_files(models_dir: Path) -> list[Path]:
    result_file = models_dir / "result.yaml"
    if not result_file.is_file():
        return []
    result = read_yaml(result_file).value
    name = str(result.get("best_stage_name", ""))
    stage: Any = result.get("model_stages")
    for key in (name, "files"):
        stage = stage.get(key) if isinstance(stage, dict) else None
    files = [file for file in stage if isinstance(file, str)] if isinstance(stage, list) else []
    candidates = [folder / file for file in files for folder in (models_dir / name, models_dir)]
    return [path for path in candidates if _is_file_below(path, models_dir)]


def _best_weights(paths: Iterable[Path]) -> Path | None:
    """The first preferred name, else the first file that can hold weights."""
    usable = [path for path in paths if path.suffix in WEIGHTS_SUFFIXES]
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
