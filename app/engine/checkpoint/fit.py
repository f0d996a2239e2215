"""Check that weights belong to the model and are finite numbers.

The body is the part of a model that computes features. A file must fill it even if a training
starts from the weights of another task.
"""

import math
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from app.engine.errors import CheckpointError

Shape = tuple[int, ...]

_BODIES = ("backbone.bottom_up.", "backbone.")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_MAX_MISSING = 0.2
"""Share of the body; ImageNet weights lack the tenth that deformable convolutions add."""
_MAX_UNUSED = 0.15
"""Extra weights in the file's stages per weight of the body, such as a classifier's last layers."""
_COLOURS = 4
"""Most channels of an image; a first layer for another number of channels is trained anew."""


def check_body(
    path: Path,
    model: Mapping[str, Shape],
    file: Mapping[str, Shape],
    unused: Collection[str],
    *,
    heuristics: bool,
) -> None:
    """Raise CheckpointError if the weights are of another body than the model's.

    model   key -> shape
    file    model key -> shape of the file's tensor for it
    unused  names in the file that do not belong to any key of the model
    """
    prefix = next((p for p in _BODIES if any(key.startswith(p) for key in model)), None)
    if prefix is None:
        return
    body = [key for key in model if key.startswith(prefix) and not key.endswith(_STATISTICS)]
    advice = "choose the config_file that belongs to these weights, or other weights"
    for key in body:
        if key in file and not _fits(file[key], model[key]):
            raise CheckpointError(
                f"{path}: of another model: {key} is {file[key]} in the file but {model[key]} in "
                f"the model; {advice}"
            )
    missing = [key for key in body if key not in file]
    if len(missing) > _MAX_MISSING * len(body):
        raise CheckpointError(
            f"{path}: of another model: it has {len(body) - len(missing)} of the {len(body)} "
            f"weights of the model's body and lacks others, such as {missing[0]}; {advice}"
        )
    extra = _more_in_stages(body, prefix, unused, heuristics=heuristics)
    if len(extra) > _MAX_UNUSED * len(body):
        raise CheckpointError(
            f"{path}: of another model: its body has {len(extra)} more weights than the model's, "
            f"such as {extra[0]}; {advice}"
        )


def _more_in_stages(
    body: Collection[str], prefix: str, unused: Collection[str], *, heuristics: bool
) -> list[str]:
    """Unused names in stages that the model has, too: the file's stages have more layers.

    Additional stages are allowed, since a model may use only the first stages of a body.
    """
    parts = [key.removeprefix(prefix).split(".") for key in body]
    depth = 1 if len({first for first, *_ in parts}) > 1 else 2  # res2, res3, ...; features.2, ...
    stages = {".".join(part[:depth]) for part in parts}
    found = []
    for name in sorted(unused):
        part = name.removeprefix(prefix).split(".")
        starts = range(3 if heuristics else 1)
        is_body = heuristics or name.startswith(prefix)
        if is_body and any(".".join(part[i : i + depth]) in stages for i in starts):
            found.append(name)
    return found


def _fits(file: Shape, model: Shape) -> bool:
    """Whether shapes are equal, or of first layers for different numbers of image channels."""
    others = (*file[:1], *file[2:]) == (*model[:1], *model[2:])
    return file == model or (others and len(file) == 4 and max(file[1], model[1]) <= _COLOURS)


def foreign_layers(model: Collection[str], unused: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Layers in the file that the model lacks although it has the part they belong to.

    Additional parts, such as a mask head for a model that predicts boxes, are allowed.
    """
    parts = {_part(key) for key in model}
    return tuple(
        sorted(name for name, tensor in unused.items() if tensor.ndim >= 2 and _part(name) in parts)
    )


def _part(key: str) -> str:
    return ".".join(key.split(".")[:2])


def check_numbers(
    path: Path, values: Mapping[str, Tensor], model_state: Mapping[str, Tensor]
) -> None:
    """Raise CheckpointError for `values`, by model key, that are integers, not finite or all 0."""
    wrong: dict[str, str] = {}
    only_zeros = True
    for key, value in values.items():
        if not model_state[key].is_floating_point() or not value.numel():
            continue
        if not value.is_floating_point():
            raise CheckpointError(
                f"{path}: {key} holds whole numbers ({value.dtype}), as of a model for integers; "
                "use the weights it was made from"
            )
        value = value.to(model_state[key].dtype)
        # A sum is faster than checking each number, but may be infinite for finite numbers.
        if not math.isfinite(value.sum()) and (number := int((~value.isfinite()).sum())):
            wrong[key] = f"holds {number} numbers that are NaN or infinite"
        elif key.endswith("running_var") and (low := value.min()) < 0:
            wrong[key] = f"holds a negative variance ({low:g})"
        only_zeros = only_zeros and (value.ndim < 2 or not value.any())
    if wrong:
        key, what = next(iter(wrong.items()))
        more = f" (and {len(wrong) - 1} more weights are no better)" if len(wrong) > 1 else ""
        raise CheckpointError(
            f"{path}: {key} {what}{more}; choose weights from before the training went wrong, or "
            "copy the file again"
        )
    if only_zeros and any(value.ndim >= 2 for value in values.values()):
        raise CheckpointError(
            f"{path}: every weight is 0: the file was not completely written; copy it again"
        )
