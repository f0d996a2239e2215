"""`detex run`, `train`, `mine`, `infer`: the container's job on two folders, without a container.

The supervisor of the container runs in this process, with the folders in place of /in and /out
(`executor.mounts`). Log, results, monitor.txt and exit status are those of the container.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from app.detex.display import Work, bar, json_lines, plain, wants_bar
from app.places import CONFIG_ROOT
from executor.mounts import IN_VARIABLE, OUT_VARIABLE, TASK_VARIABLE, mounted


def run_task(task: str, input_dir: Path, output_dir: Path, *, as_json: bool) -> int:
    """Run a task, or the tasks of env.yaml if `task` is ''; return the exit status."""
    wrong = _what_is_wrong(task, input_dir, output_dir)
    if wrong:
        typer.echo(f"detex: {wrong}", err=True)
        return 2
    with suppress(OSError):  # the supervisor reports it with its status
        output_dir.mkdir(parents=True, exist_ok=True)
    _mount(input_dir.resolve(), str(output_dir.resolve()), task)
    # As in the container: relative paths do not depend on the current folder.
    os.chdir(CONFIG_ROOT)
    return _as_json() if as_json else _for_people(task or "task")


def _what_is_wrong(task: str, input_dir: Path, output_dir: Path) -> str | None:
    if wrong := refusal_of_input("--in", input_dir):
        return wrong
    if output_dir.exists() and not output_dir.is_dir():
        return f"--out {output_dir}: is no folder; name the folder in which results are to lie"
    if output_dir.exists() and output_dir.samefile(input_dir):
        return f"--out {output_dir} is the folder of --in; results need a folder of their own"
    if not task and not (input_dir / "env.yaml").exists():
        return (
            f"{input_dir} has no env.yaml that says which task; write one, or say it:"
            " `detex train`, `detex mine` or `detex infer` with the same options"
        )
    return None


def mount_input(input_dir: Path, task: str = "training") -> Path:
    """Let /in mean this folder for a verb that writes nothing to /out; return its env.yaml.

    `task` is assumed if there is no env.yaml.
    """
    folder = input_dir.resolve()
    env_file = folder / "env.yaml"
    _mount(folder, os.devnull, "" if env_file.exists() else task)
    return env_file


def _mount(input_dir: Path, output_dir: str, task: str) -> None:
    """Let /in and /out mean these folders, in this process and those that it starts."""
    os.environ.pop("DEFAULT_ENV_FILE_PATH", None)
    os.environ[IN_VARIABLE] = str(input_dir)
    os.environ[OUT_VARIABLE] = output_dir
    os.environ[TASK_VARIABLE] = task


def refusal_of_input(option: str, input_dir: Path) -> str | None:
    """Return one sentence if `input_dir` cannot be a task's folder."""
    if input_dir.is_dir():
        return None
    what = "is no folder" if input_dir.exists() else "is not there"
    return f"{option} {input_dir}: {what}; name the folder that holds config.yaml and the index"


def _for_people(title: str) -> int:
    from app.start import run

    with bar(title, _work()) if wants_bar() else plain() as show:
        error = run(on_progress=show)
    return 0 if error is None else error.exit_status


def _as_json() -> int:
    from app.start import run
    from executor.env import load_env
    from executor.errors import ExecutorError

    with json_lines(_work()) as (show, write):
        error = run(on_progress=show)
        status = 0 if error is None else error.exit_status
        result: dict[str, Any] = {
            "event": "result",
            "status": status,
            "code": 0 if error is None else error.code,
            "error": None if error is None else str(error),
        }
        if error is None:
            with suppress(ExecutorError):
                result |= _results(load_env(Path(mounted("/in/env.yaml"))))
        write(result)
    return status


def _work() -> Work:
    """Return the number of images or iterations; the run itself reports errors."""
    from executor.env import load_env
    from executor.errors import ConfigError
    from executor.hyperparameters import TrainHyperparameters, load_hyperparameters
    from executor.task_words import Task

    try:
        env = load_env(Path(mounted("/in/env.yaml")))
        if Task.TRAINING in env.tasks:
            settings = load_hyperparameters(env.input.config_file, TrainHyperparameters)
            return Work(0 if settings.max_minutes else settings.max_iter, "iterations")
        index = env.input.candidate_index_file or Path(os.devnull)
        with index.open("rb") as lines:
            return Work(len(env.tasks) * sum(not line.isspace() for line in lines), "images")
    except (ConfigError, OSError):
        return Work()


def _results(env: Any) -> dict[str, Any]:
    """Return the tasks, their result files and the stages of a training."""
    from executor.model_stages import ModelStages
    from executor.task_words import Task

    files = {task: env.output.result_file(task) for task in env.tasks}
    told: dict[str, Any] = {"results": {task.value: str(path) for task, path in files.items()}}
    if Task.TRAINING in env.tasks:
        stages = ModelStages.resume(env.output)
        told["best_stage"] = None if stages.best is None else stages.best.name
        told["stages"] = {
            stage.name: {
                "mAP": stage.metrics["mAP"],
                "folder": str(env.output.models_dir / stage.name),
            }
            for stage in stages.stages
        }
    return told
