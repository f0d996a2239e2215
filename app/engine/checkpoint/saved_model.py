"""Save a trained model as all files that inference needs: weights, full config, class names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from app.engine.checkpoint.detectron2_file import save_detectron2
from app.engine.config import CfgNode, portable
from common.files import write_atomically

WEIGHTS_FILE = "model.pth"
CONFIG_FILE = "config.yaml"


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model on disk, in a folder of its own.

    name       'best' or 'last'
    iteration  number of finished iterations when it was saved
    weights    file in detectron2's layout of `model_final.pth`
    config     complete file with MODEL.CLASS_NAMES; MODEL.WEIGHTS is the file beside it
    metrics    metrics of the latest evaluation of these weights; empty if there was none
    class_results  for each class the fields of its `evaluation.evaluator.ClassResult`; likewise
    """

    name: str
    iteration: int
    weights: Path
    config: Path
    metrics: dict[str, float]
    class_results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def save_model(
    model: nn.Module,
    cfg: CfgNode,
    class_names: Sequence[str],
    *,
    name: str,
    directory: Path,
    iteration: int,
    metrics: dict[str, float],
    class_results: Mapping[str, Mapping[str, float]] | None = None,
) -> SavedModel:
    """Write `model` to `directory`/`name`; replaces earlier files one by one."""
    folder = directory / name
    weights, config = folder / WEIGHTS_FILE, folder / CONFIG_FILE
    save_detectron2(
        model,
        weights,
        iteration=iteration,
        class_names=class_names,
        category_ids=cfg.MODEL.CATEGORY_IDS,
    )
    complete = portable(cfg, weights=WEIGHTS_FILE)
    complete.MODEL.CLASS_NAMES = list(class_names)
    write_atomically(config, complete.dump())
    return SavedModel(name, iteration, weights, config, dict(metrics), class_results or {})
