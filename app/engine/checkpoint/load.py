"""Weights from a file into a model, with a report of everything that did not fit."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app.engine.checkpoint.class_rows import log_class_mapping, map_class_rows, same_classes
from app.engine.checkpoint.files import StateFile, read_checkpoint
from app.engine.checkpoint.match import match_by_suffix, rename, with_background_last
from app.engine.errors import CheckpointError

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of every name.

    path        the file
    loaded      parameters and buffers that the file filled
    missing     those it did not fill; they keep what they had
    unused      names of the file that the model has no place for
    mismatched  (model key, shape in the file, shape in the model): not loaded
    """

    path: Path
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[tuple[str, Shape, Shape], ...]

    def require_whole(self) -> None:
        """CheckpointError unless the file filled the whole model, as one to predict with must."""
        absent = [*self.missing, *(key for key, _, _ in self.mismatched)]
        if absent:
            names = ", ".join(grouped(absent)[:3])
            raise CheckpointError(
                f"{self.path}: lacks {len(absent)} weights of the model, such as {names}; "
                "choose the weights that were trained with this config"
            )

    def log(self) -> None:
        """One message per kind, names grouped by module; the sentences are detectron2's."""
        for key, in_file, in_model in self.mismatched:
            logger.warning(
                "Skip loading parameter '%s' to the model due to incompatible shapes: %s in the "
                "checkpoint but %s in the model! You might want to double check if this is "
                "expected.",
                key,
                in_file,
                in_model,
            )
        if self.missing:
            logger.warning(
                "Some model parameters or buffers are not found in the checkpoint:\n%s",
                "\n".join(sorted(grouped(self.missing))),
            )
        if self.unused:
            logger.warning(
                "The checkpoint state_dict contains keys that are not used by the model:\n%s",
                "\n".join(f"  {line}" for line in grouped(self.unused)),
            )


def load_weights(
    model: nn.Module,
    path: Path,
    *,
    class_names: Sequence[str] = (),
    file_class_names: Sequence[str] | None = None,
) -> LoadReport:
    """Fill `model` from the checkpoint at `path`, whatever its kind, and log the report.

    class_names       classes of `model`
    file_class_names  classes of the file, where the file does not say; rows are matched by name
    Raises CheckpointError when the file is unusable or nothing in it fits the model.
    """
    logger.info("[Checkpointer] Loading from %s ...", path)
    file = read_checkpoint(path)
    state = _in_engine_names(file)
    model_state = model.state_dict()
    matches = _match(model_state, state, file)
    old_classes = file_class_names or file.extra.get("class_names") or ()
    values = {key: state[file_key] for key, file_key in matches.items()}
    if old_classes and class_names and not same_classes(old_classes, class_names):
        log_class_mapping(old_classes, class_names)
        values = {
            key: map_class_rows(
                key, value, model_state[key], file_classes=old_classes, model_classes=class_names
            )
            for key, value in values.items()
        }
    loaded = [key for key, value in values.items() if value.shape == model_state[key].shape]
    if not loaded:
        raise CheckpointError(
            f"{path}: none of its {len(state)} weights fits the model; "
            "choose the config that belongs to this file, or another file"
        )
    with torch.no_grad():
        for key in loaded:
            model_state[key].copy_(values[key])
    report = _report(path, model_state, values, unused=state.keys() - set(matches.values()))
    logger.info("Loaded %d of %d parameters and buffers.", len(loaded), len(model_state))
    report.log()
    return report


def grouped(keys: Iterable[str]) -> list[str]:
    """`a.b.weight`, `a.b.bias` -> `a.b.{bias, weight}`, in order of first appearance."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        module, _, name = key.rpartition(".")
        groups.setdefault(module, []).append(name)
    lines = []
    for module, names in groups.items():
        text = names[0] if len(names) == 1 else "{" + ", ".join(sorted(names)) + "}"
        lines.append(f"{module}.{text}" if module else text)
    return lines


def _in_engine_names(file: StateFile) -> dict[str, Tensor]:
    renamed = rename(file.model, file.naming)
    state = {renamed[name]: tensor for name, tensor in file.model.items()}
    if file.naming == "caffe2":
        state = {name: with_background_last(name, tensor) for name, tensor in state.items()}
    return state


def _match(
    model_state: dict[str, Tensor], state: dict[str, Tensor], file: StateFile
) -> dict[str, str]:
    """Model key -> file key. Names that fit nowhere as they are get the heuristics, too."""
    exact = {key: key for key in model_state if key in state}
    if exact and not file.heuristics:
        return exact
    return match_by_suffix(_shapes(model_state), _shapes(state))


def _shapes(state: dict[str, Tensor]) -> dict[str, Shape]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _report(
    path: Path, model_state: dict[str, Tensor], values: dict[str, Tensor], *, unused: set[str]
) -> LoadReport:
    in_file, in_model = _shapes(values), _shapes(model_state)
    return LoadReport(
        path=path,
        loaded=tuple(key for key in in_file if in_file[key] == in_model[key]),
        missing=tuple(key for key in in_model if key not in in_file and not _implied(key, in_file)),
        unused=tuple(sorted(key for key in unused if not _is_obsolete(key))),
        mismatched=tuple(
            (key, in_file[key], in_model[key]) for key in in_file if in_file[key] != in_model[key]
        ),
    )


def _implied(key: str, found: Collection[str]) -> bool:
    """Statistics of a norm whose file has them folded into weight and bias: 0 and 1 are right."""
    module, _, name = key.rpartition(".")
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return name in statistics and f"{module}.weight" in found


def _is_obsolete(key: str) -> bool:
    """What old checkpoints hold and models compute themselves."""
    return "anchor_generator.cell_anchors" in key or key.endswith(
        ("num_batches_tracked", "pixel_mean", "pixel_std")
    )
