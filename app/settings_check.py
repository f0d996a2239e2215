"""The check of config.yaml and of the engine's config that it names, before anything slow.

Neither torch nor numpy is imported, so wrong keys are reported within half a second.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from app.engine.config import CfgNode, Fault, inspect_config, load_model_config
from app.engine.config.declared import FORMS
from app.engine.config.exportable import export_faults
from app.engine.config.smells import unknown_smells
from app.engine.config.tiles import tile_faults_of
from app.engine.errors import EngineError
from app.engine.trained.model_files import find_model
from app.tasks.args_options import ORIGIN, inspect_args_options
from app.tasks.config_file import config_path, learning_rate_for, wrong_kinds
from common.limited_yaml import Document
from executor.config_check import Findings, Settings, check_config
from executor.env import Env, InputPaths
from executor.errors import ConfigError, ObjectTypeError
from executor.hyperparameters import (
    InferHyperparameters,
    MiningHyperparameters,
    TrainHyperparameters,
    given,
    words_of,
)
from executor.task_words import Task
from executor.validation import Problem

_ODD_RATE = 10.0
"""A learning rate this many times larger or smaller than the automatic one causes a warning."""


def check_settings(env: Env, tasks: Collection[Task]) -> list[str]:
    """Refuse settings that any of `tasks` cannot use, all at once; return the remarks."""

    def inspect(document: Document, settings: Settings) -> Findings:
        if Task.TRAINING in tasks:
            return inspect_training(document, settings, env.input)
        return Findings(list(_tile_problems(document, settings, env.input.models_dir)))

    return check_config(env.input.config_file, tasks, inspect=inspect)


def _tile_problems(document: Document, settings: Settings, models_dir: Path) -> Iterator[Problem]:
    """Yield why the model cannot look at the tiles that infer or mining asks for."""
    for hp in settings.values():
        if not isinstance(hp, InferHyperparameters | MiningHyperparameters):
            continue
        if not hp.tile_size and not hp.tile_overlap:
            continue
        try:
            config = find_model(hp.model_params_path, models_dir).config
            cfg = None if config is None else load_model_config(config)
        except EngineError:  # the task reports it with a remedy
            cfg = None
        if cfg is not None:
            yield from _tile_faults(document, cfg, hp.tile_size, hp.tile_overlap)


def _tile_faults(document: Document, cfg: CfgNode, size: int, overlap: int) -> Iterator[Problem]:
    key = "tile_size" if size or not overlap else "tile_overlap"
    for fault in tile_faults_of(cfg, size, overlap):
        yield _problem(document, key, key, f"{key}: {fault.text}")


def inspect_training(document: Document, settings: Settings, inputs: InputPaths) -> Findings:
    """Return the findings about the engine's config of a training."""
    hp = settings.get(Task.TRAINING)
    assert hp is None or isinstance(hp, TrainHyperparameters)
    options, faults = inspect_args_options(_text(document, "args_options"))
    problems = [_of_args_options(document, fault) for fault in faults]
    key = "accepted_smells"
    problems += [
        _problem(document, key, key, f"{key}: {text}")
        for text in unknown_smells(words_of(_text(document, key)))
    ]
    path: Path | None = None
    try:
        path = config_path(_text(document, "config_file"))
    except ConfigError as error:
        problems.append(_problem(document, "config_file", "config_file", str(error)))
    class_names = None if hp is None else hp.class_names
    cfg, faults = inspect_config(path, options.overrides, origin=ORIGIN, class_names=class_names)
    problems += [
        _of_args_options(document, fault)
        if fault.origin == ORIGIN
        else _problem(document, "config_file", f"config_file {fault.key}", f"config_file: {fault}")
        for fault in faults
    ]
    if hp is None or path is None or problems:
        return Findings(problems)
    problems = [
        *_disagreements(document, cfg, hp, options.overrides[::2]),
        *_export_problems(document, cfg, hp, options.overrides[::2], inputs),
    ]
    return Findings(problems, list(_remarks(document, cfg, hp, inputs.training_index_file)))


def _disagreements(
    document: Document, cfg: CfgNode, hp: TrainHyperparameters, asked: Collection[str]
) -> Iterator[Problem]:
    """Yield keys of config.yaml that contradict the engine's config."""
    for reason in wrong_kinds(cfg, hp.object_type):
        yield _problem(document, "config_file", "config_file", reason, ObjectTypeError)
    yield from _tile_faults(document, cfg, hp.tile_size, hp.tile_overlap)
    if hp.tile_overlap and not (hp.tile_size or cfg.INPUT.TILES.SIZE):
        text = "tile_overlap: there are no tiles that could overlap; set tile_size, or leave it out"
        yield _problem(document, "tile_overlap", "tile_overlap", text)
    if hp.max_minutes and not hp.max_iter:
        for key in sorted({"SOLVER.STEPS", "SOLVER.WARMUP_ITERS"} & set(asked)):
            text = (
                f"{key} counts iterations, but with max_minutes and max_iter 0 only the time tells "
                "how many there are; leave it out, or set max_iter to a number that it counts in"
            )
            yield _problem(document, "args_options", f"args_options {key}", f"args_options: {text}")
    rate = hp.learning_rate or learning_rate_for(cfg, hp.batch_size)
    end = cfg.SOLVER.BASE_LR_END
    if cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupCosineLR" and end > rate:
        place = "args_options" if "SOLVER.BASE_LR_END" in asked else "config_file"
        text = f"SOLVER.BASE_LR_END is {end:g}, but must not exceed the learning rate, {rate:g}"
        yield _problem(document, place, f"{place} SOLVER.BASE_LR_END", f"{place}: {text}")


def _export_problems(
    document: Document,
    cfg: CfgNode,
    hp: TrainHyperparameters,
    asked: Collection[str],
    inputs: InputPaths,
) -> Iterator[Problem]:
    """Yield what an export would refuse at the end of the training."""
    for fault in export_faults(dict(cfg.leaves()), hp.export_forms):
        key = "args_options" if fault.key in asked else "config_file"
        yield _problem(document, "export", f"export, {key} {fault.key}", f"export: {fault.text}")
    measured = [form for form in hp.export_forms if FORMS[form].needs_validation]
    if measured and not _count_lines(inputs.val_index_file, most=1):
        form = measured[0]
        text = (
            f"export: {form} is measured on a validation set, and there is none; leave {form} out"
        )
        yield _problem(document, "export", "export", text)


def _remarks(
    document: Document, cfg: CfgNode, hp: TrainHyperparameters, index: Path | None
) -> Iterator[str]:
    """Yield remarks on settings that are allowed but are probably mistakes."""
    chosen = learning_rate_for(cfg, hp.batch_size)
    num_images = _count_lines(index, most=hp.batch_size)
    is_large = 0 < num_images < hp.batch_size
    if hp.learning_rate > _ODD_RATE * chosen > 0:
        yield _odd_rate(document, hp, chosen, hp.learning_rate / chosen, "times", "may diverge")
    elif 0 < hp.learning_rate < chosen / _ODD_RATE and not is_large:
        much = chosen / hp.learning_rate
        yield _odd_rate(document, hp, chosen, much, "times less than", "may hardly learn")
    if is_large:
        planned = min(int(cfg.SOLVER.IMS_PER_BATCH), num_images)
        yield (
            f"{document.where(('batch_size',))}: batch_size: {hp.batch_size} is more than the "
            f"{num_images} training images, so every iteration looks at each of them "
            f"{hp.batch_size / num_images:.1f} times; {planned} suits this model and data"
        )


def _odd_rate(
    document: Document, hp: TrainHyperparameters, chosen: float, much: float, how: str, risk: str
) -> str:
    return (
        f"{document.where(('learning_rate',))}: learning_rate: {hp.learning_rate:g} is {much:.0f} "
        f"{how} the {chosen:.3g} that learning_rate: 0 chooses for this model and batch_size "
        f"{hp.batch_size}, and the training {risk}; write learning_rate: 0, or about {chosen:.3g}"
    )


def _count_lines(path: Path | None, *, most: int) -> int:
    """Count the lines of an index that are not blank, up to `most`; 0 if it is unreadable."""
    if path is None:
        return 0
    count = 0
    try:
        with path.open("rb") as stream:
            for line in stream:
                count += bool(line.strip())
                if count >= most:
                    break
    except OSError:  # the task reports it with a remedy
        return 0
    return count


def _text(document: Document, key: str) -> str:
    """Return a text of config.yaml, or its default if it is not set or not a text."""
    value = given(document.value).get(key)
    default = str(TrainHyperparameters.model_fields[key].default)
    return value if isinstance(value, str) else default


def _of_args_options(document: Document, fault: Fault) -> Problem:
    return _problem(document, "args_options", f"args_options {fault.key}".strip(), str(fault))


def _problem(
    document: Document, place: str, key: str, text: str, error: type[ConfigError] = ConfigError
) -> Problem:
    location = (place,)
    return Problem(document.mark(location), f"{document.where(location)}: {text}", key, error)
