"""`detex convert`: detections back to the tool in which people label."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from app.detex.task_folders import mount_input, refusal_of_input
from app.engine.config.yaml_file import read_config
from app.engine.data.problems import Effect
from app.engine.errors import CheckpointError, EngineError
from app.engine.trained.model_files import find_model, package_class_names
from app.exchange.convert.run import ConvertRequest, ConvertSummary, convert
from app.exchange.results import result_file
from app.exchange.targets import TARGETS
from app.tasks.failures import told
from common.text import printable
from executor.dataset_reader import iter_index
from executor.env import load_env
from executor.errors import ConfigError, ExecutorError
from executor.task_words import Task
from executor.yaml_reader import read_yaml

_NUM_CLASSES = 20  # that are listed


def report(
    result: Path,
    target: str,
    *,
    out: Path | None,
    threshold: float,
    images: Path | None,
    input_dir: Path | None,
    replace_out: bool,
    as_json: bool,
) -> int:
    """Convert a result and print what was written; return the exit status."""
    wrong = _what_is_wrong(target, threshold, images, input_dir)
    if wrong:
        typer.echo(f"detex: {wrong}", err=True)
        return ConfigError.exit_status
    try:
        file = result_file(result)
        out = file.parent / f"detections-{target}" if out is None else out
        request = ConvertRequest(
            result=file,
            target=target,
            out=out,
            threshold=threshold,
            images=images,
            replace=replace_out,
        )
        if input_dir is not None:
            request = _with_task(request, input_dir)
        summary = convert(request)
    except (EngineError, ExecutorError, OSError) as error:
        known = told(error)
        typer.echo(f"detex: {printable(str(known))}", err=True)
        return known.exit_status
    typer.echo(json.dumps(_counts(request, summary)) if as_json else _sentences(request, summary))
    return 0


def _what_is_wrong(
    target: str, threshold: float, images: Path | None, input_dir: Path | None
) -> str | None:
    if target not in TARGETS:
        return f"--to {target}: there is no such layout; choose {', '.join(TARGETS)}"
    if not 0 <= threshold <= 1:
        return f"--threshold {threshold}: scores go from 0 to 1; choose a number between"
    if images is not None and input_dir is not None:
        return "--images and --in both say where the images are; give one of them"
    return None if input_dir is None else refusal_of_input("--in", input_dir)


def _with_task(request: ConvertRequest, input_dir: Path) -> ConvertRequest:
    """Add what the task's folder says: its images in the order of the result, and the classes."""
    env_file = mount_input(input_dir, Task.INFER.value)
    env = load_env(env_file)
    index = env.input.candidate_index_file
    if index is None:
        raise ConfigError(f"{env_file}: candidate_index_file is not set; use --images instead")
    files = [asset.image for asset in iter_index(index)]
    names = _class_names(env.input.config_file, env.input.models_dir)
    return replace(request, files=files, class_names=names)


def _class_names(config_file: Path, models_dir: Path) -> Sequence[str]:
    """The model's classes in its order; [] if neither the model nor config.yaml has them."""
    with suppress(CheckpointError):
        config = find_model((), models_dir).config
        model = {} if config is None else read_config(config).values.get("MODEL", {})
        if model.get("CLASS_NAMES"):
            return [str(name) for name in model["CLASS_NAMES"]]
    names: object = package_class_names(models_dir)
    if not names and config_file.exists():
        names = read_yaml(config_file).value.get("class_names")
    return [str(name) for name in names] if isinstance(names, list) else []


def _counts(request: ConvertRequest, summary: ConvertSummary) -> dict[str, Any]:
    problems = summary.problems
    return {
        "out": str(request.out),
        "images": summary.num_images,
        "empty_images": summary.num_empty,
        "objects": sum(summary.objects.values()),
        "objects_by_class": summary.objects,
        "class_names": summary.class_names,
        "below_threshold": summary.num_below,
        "left_out_images": problems.with_effect(Effect.LEFT_OUT),
        "left_out_objects": problems.with_effect(Effect.DROPPED),
        "changed_objects": problems.with_effect(Effect.CHANGED),
    }


def _sentences(request: ConvertRequest, summary: ConvertSummary) -> str:
    by_class = ", ".join(
        f"{name} {summary.objects.get(name, 0)}" for name in summary.class_names[:_NUM_CLASSES]
    )
    lines = [
        f"{request.out}: {summary.num_images} images ({summary.num_empty} without objects),"
        f" {sum(summary.objects.values())} objects ({by_class or 'no classes'})",
    ]
    if summary.num_below:
        lines.append(f"  {summary.num_below} objects below the threshold {request.threshold:g}")
    lines += [f"  {line}" for line in summary.problems.lines()]
    if TARGETS[request.target].numbers and not summary.knows_classes:
        lines.append(
            "  the result does not list the model's classes: those that occur are numbered by"
            " name; --in FOLDER of the task gives the model's own order"
        )
    lines.append(f"  next: {TARGETS[request.target].next_step}")
    return "\n".join(map(printable, lines))
