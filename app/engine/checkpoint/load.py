"""Load weights from a file into a model, and report everything that does not fit."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app.engine.checkpoint.class_rows import (
    class_mapping,
    has_class_rows,
    is_reordered,
    map_class_rows,
    same_classes,
)
from app.engine.checkpoint.files import StateFile, read_checkpoint
from app.engine.checkpoint.fit import check_body, check_numbers, foreign_layers
from app.engine.checkpoint.match import match_by_suffix, rename, with_background_last
from app.engine.checkpoint.torchvision_detectors import require_config
from app.engine.errors import CheckpointError
from app.engine.layers.norm import FrozenBatchNorm2d

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The result of loading a file, by names of parameters and buffers.

    path           the file
    loaded         keys of the model that were loaded from the file
    missing        keys of the model that the file lacks; they keep their values
    unused         names in the file that do not belong to any key of the model
    mismatched     (model key, shape in the file, shape in the model): not loaded
    foreign        layers among `unused` in a part that the model has, so of another model
    class_names    class names in the file; empty if there are none
    total          number of parameters and buffers in the model
    about_classes  a blank and a sentence on classes matched by name; "" without such layers
    """

    path: Path
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[tuple[str, Shape, Shape], ...]
    foreign: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    total: int = 0
    about_classes: str = ""

    def require_whole(self, class_names: Sequence[str] = ()) -> None:
        """Raise CheckpointError unless the file filled the whole model, as inference needs.

        Also raises it if the file has the model's `class_names` in another order.
        """
        advice = "choose the weights that were trained with this config"
        if self.missing:
            absent = [*self.missing, *(key for key, _, _ in self.mismatched)]
            names = ", ".join(grouped(absent)[:3])
            raise CheckpointError(
                f"{self.path}: lacks {len(absent)} weights of the model, such as {names}; {advice}"
            )
        for key, in_file, in_model in self.mismatched:
            raise CheckpointError(
                f"{self.path}: {key} is {in_file} in the file but {in_model} in the model, as of "
                f"a model for another number of classes; {advice}"
            )
        if self.foreign:
            names = ", ".join(grouped(self.foreign)[:3])
            raise CheckpointError(
                f"{self.path}: has {len(self.foreign)} layers that the model has no place for, "
                f"such as {names}: they are of another model; {advice}"
            )
        self._check_order(class_names)

    def _check_order(self, class_names: Sequence[str]) -> None:
        if not self.class_names or not class_names:
            return
        if same_classes(self.class_names, class_names):
            return
        if is_reordered(self.class_names, class_names):
            raise CheckpointError(
                f"{self.path}: was trained with the classes in the order "
                f"{', '.join(self.class_names)}, but the config names {', '.join(class_names)}; "
                "use the config that belongs to the weights"
            )
        logger.warning(
            "%s was trained with the classes %s; they are called %s, as the config says",
            self.path,
            ", ".join(self.class_names),
            ", ".join(class_names),
        )

    def log(self) -> None:
        """Log detectron2's message for each kind of misfit, with names grouped by module."""
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
    """Load the checkpoint at `path`, of any format, into `model` and log the report.

    class_names       classes of `model`
    file_class_names  classes of the file if the file does not name them; rows are matched by name
    Raises CheckpointError if the file is unusable, has numbers that are not finite, or is of
    another model: nothing fits, or the body differs.
    """
    logger.info("[Checkpointer] Loading from %s ...", path)
    plan = _plan(model, path, class_names, file_class_names)
    report, model_state = plan.report, model.state_dict()
    with torch.no_grad():
        for key in report.loaded:
            model_state[key].copy_(plan.values[key])
        for key in plan.folded:
            model_state[key].fill_(1.0 if key.endswith("running_var") else 0.0)
    logger.info(
        "Loaded %d of %d parameters and buffers.%s",
        len(report.loaded),
        report.total,
        report.about_classes,
    )
    report.log()
    return report


def check_weights(
    model: nn.Module,
    path: Path,
    *,
    class_names: Sequence[str] = (),
    file_class_names: Sequence[str] | None = None,
) -> LoadReport:
    """Return the report of `load_weights`, and raise its errors, without changing `model`."""
    return _plan(model, path, class_names, file_class_names).report


@dataclass(frozen=True, slots=True)
class _Plan:
    """values: tensors to load, by model key; folded: keys of statistics to set to 0 and 1."""

    report: LoadReport
    values: dict[str, Tensor]
    folded: list[str]


def _plan(
    model: nn.Module,
    path: Path,
    class_names: Sequence[str],
    file_class_names: Sequence[str] | None,
) -> _Plan:
    file = read_checkpoint(path)
    state = _in_engine_names(file)
    model_state = model.state_dict()
    if file.kind is not None:
        require_config(path, file.kind, state, _shapes(model_state), convention=_convention(model))
    matches = _match(model_state, state, file)
    values = {key: state[file_key] for key, file_key in matches.items()}
    old_classes = named_classes(file) or list(file_class_names or ())
    fitting = values
    if old_classes and class_names and not same_classes(old_classes, class_names):
        fitting = {
            key: map_class_rows(
                key, value, model_state[key], file_classes=old_classes, model_classes=class_names
            )
            for key, value in values.items()
        }
    loaded = [key for key, value in fitting.items() if value.shape == model_state[key].shape]
    if not loaded:
        raise CheckpointError(
            f"{path}: none of its {len(state)} weights fits the model (they have names like "
            f"{next(iter(state))!r}, the model's are like {next(iter(model_state))!r}); "
            "choose the config that belongs to this file, or another file"
        )
    folded = _folded(model, values, file)
    unused = {key: tensor for key, tensor in state.items() if key not in set(matches.values())}
    unused = {key: tensor for key, tensor in unused.items() if not _is_obsolete(key)}
    in_file, in_model = _shapes(fitting), _shapes(model_state)
    is_derived = {*folded, *(key for key in in_model if key.endswith("num_batches_tracked"))}
    report = LoadReport(
        path=path,
        loaded=tuple(loaded),
        missing=tuple(key for key in in_model if key not in in_file and key not in is_derived),
        unused=tuple(sorted(unused)),
        mismatched=tuple(
            (key, in_file[key], in_model[key]) for key in in_file if in_file[key] != in_model[key]
        ),
        foreign=() if file.heuristics else foreign_layers(in_model, unused),
        class_names=tuple(named_classes(file)),
        total=len(model_state),
        about_classes=_about_classes(fitting, model_state, old_classes, class_names),
    )
    check_body(path, in_model, in_file, unused, heuristics=file.heuristics)
    check_numbers(path, {key: values[key] for key in loaded}, model_state)
    return _Plan(report, fitting, folded)


def _convention(model: nn.Module) -> str:
    """The library whose anchors a model has; "" without anchors."""
    return next((str(m.convention) for m in model.modules() if hasattr(m, "convention")), "")


def named_classes(file: StateFile) -> list[str]:
    """The class names in a file; empty unless they are a list of texts."""
    names = file.extra.get("class_names")
    is_list = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return list(names) if is_list and names is not None else []


def _about_classes(
    values: dict[str, Tensor],
    model_state: dict[str, Tensor],
    old_classes: Sequence[str],
    class_names: Sequence[str],
) -> str:
    """A blank and a sentence on the layers with rows of classes; "" if the file has none."""
    rows = [key for key in values if has_class_rows(key)]
    if not rows or not class_names:
        return ""
    fit = all(values[key].shape == model_state[key].shape for key in rows)
    if old_classes and not fit:
        return (
            f" The layers that tell classes do not fit its {len(old_classes)} class names: they "
            "start anew."
        )
    if old_classes:
        return f" {class_mapping(old_classes, class_names)}"
    if fit:
        return " The file does not name its classes: they are taken to be those of this task."
    return (
        " The file does not name its classes and has another number of them: the layers that tell "
        "classes start anew."
    )


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
    """Model key -> file key. The heuristics are also used if no name fits exactly."""
    exact = {key: key for key in model_state if key in state}
    if exact and not file.heuristics:
        return exact
    return match_by_suffix(_shapes(model_state), _shapes(state))


def _shapes(state: dict[str, Tensor]) -> dict[str, Shape]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _folded(model: nn.Module, found: Collection[str], file: StateFile) -> list[str]:
    """Keys of statistics that the file lacks because they are folded into weight and bias.

    This applies to frozen norms and to all norms of Caffe2; other norms need their statistics.
    """
    keys = []
    for name, module in model.named_modules():
        is_folded = isinstance(module, FrozenBatchNorm2d) or file.naming == "caffe2"
        if is_folded and f"{name}.weight" in found and hasattr(module, "running_var"):
            keys += [f"{name}.running_mean", f"{name}.running_var"]
    return [key for key in keys if key not in found]


def _is_obsolete(key: str) -> bool:
    """Whether a key of old checkpoints has values that models compute themselves."""
    return "anchor_generator.cell_anchors" in key or key.endswith(
        ("num_batches_tracked", "pixel_mean", "pixel_std")
    )
