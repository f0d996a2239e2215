"""Write a model of this engine as a file that detectron2 can load."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from app.engine.config import CfgNode
from app.engine.config.defaults import DETECTRON2
from app.engine.config.yaml_file import dump_yaml
from common.files import write_atomically


def save_detectron2(
    model: nn.Module,
    path: Path,
    *,
    iteration: int,
    class_names: Sequence[str] = (),
    category_ids: Sequence[int] = (),
) -> None:
    """Write the weights of `model` in the layout of detectron2's `model_final.pth`.

    Parameters have the same names in both. The file also has the class names and the data set's
    category ids: detectron2 ignores them, `load_weights` uses the names.
    """
    weights = OrderedDict(
        (name, tensor.detach().to("cpu", copy=True).contiguous())
        for name, tensor in model.state_dict().items()
    )
    content = {
        "model": weights,
        "iteration": iteration,
        "class_names": list(class_names),
        "category_ids": list(category_ids),
    }

    def write(file: BinaryIO) -> None:
        torch.save(content, file)

    write_atomically(path, write)


def detectron2_yaml(cfg: CfgNode) -> str:
    """The YAML text of `cfg` with only the keys that detectron2 has."""
    return dump_yaml(_common(cfg, DETECTRON2))


def _common(values: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _common(value, known[key]) if isinstance(known[key], dict) else value
        for key, value in values.items()
        if key in known
    }
