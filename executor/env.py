"""env.yaml: the paths of the run's input and output, and the requested tasks.

Every key may be missing; the folders' defaults follow `root_dir`. A relative path counts from the
folder that holds `root_dir` (so `in/models` is /in/models).
"""

import os
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.limited_yaml import Document, Location
from executor.errors import ConfigError
from executor.hyperparameters import spoken
from executor.mounts import TASK_VARIABLE, mounted
from executor.task_models import TRAITS, Flags, ResultFiles
from executor.task_words import Task
from executor.validation import Problem, config_error, misspelt, validate, validated
from executor.yaml_reader import read_yaml

_FROZEN = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Dialect(Enum):
    """The three ways platforms have read results, told apart by `protocol_version`."""

    FLAT = "absent"
    """Up to platform 1.1.0: one model, flat in the models folder."""
    STAGES = "1.0.0"
    """Platforms 1.2 and 1.3: model stages."""
    STAGE_FOLDERS = "1.1.0"
    """Platforms 2.0 to 2.5: model stages, each in its own folder."""

    @classmethod
    def of(cls, protocol_version: str) -> Self:
        """Return the dialect of a version text; an unknown version means the newest dialect."""
        version = protocol_version.strip()
        if not version or version.startswith("0."):
            return cls("absent")
        return cls("1.0.0" if version in {"1.0", "1.0.0"} else "1.1.0")

    @property
    def boxes_key(self) -> str:
        """The key under which infer-result.json lists an image's boxes."""
        return "annotations" if self is Dialect.FLAT else "boxes"


class InputPaths(BaseModel):
    """The paths of the input, which the run only reads."""

    model_config = _FROZEN

    root_dir: Path = Path("/in")
    assets_dir: Path = Path("/in/assets")
    annotations_dir: Path = Path("/in/annotations")
    models_dir: Path = Path("/in/models")
    training_index_file: Path | None = Path("/in/train-index.tsv")
    val_index_file: Path | None = Path("/in/val-index.tsv")
    candidate_index_file: Path | None = Path("/in/candidate-index.tsv")
    config_file: Path = Path("/in/config.yaml")

    @model_validator(mode="before")
    @classmethod
    def _follow_root(cls, values: Any) -> Any:
        return _resolved(cls, values, may_be_unset=("_index_file",))


class OutputPaths(ResultFiles):
    """The paths of the results."""

    model_config = _FROZEN

    root_dir: Path = Path("/out")
    models_dir: Path = Path("/out/models")
    tensorboard_dir: Path = Path("/out/tensorboard")
    monitor_file: Path = Path("/out/monitor.txt")
    executor_log_file: Path = Path("/out/ymir-executor-out.log")

    def result_file(self, task: Task) -> Path:
        """What the platform reads when a task is done."""
        path: Path = getattr(self, f"{task.value}_result_file")
        return path

    @model_validator(mode="before")
    @classmethod
    def _follow_root(cls, values: Any) -> Any:
        return _resolved(cls, values)


class Env(Flags):
    """The run as env.yaml describes it."""

    model_config = _FROZEN

    input: InputPaths = Field(default_factory=InputPaths)
    output: OutputPaths = Field(default_factory=OutputPaths)
    task_id: str = ""
    """Opaque text: never a file name, never parsed."""
    protocol_version: str = ""
    manifest_file: Path = Path("/img-man/manifest.yaml")

    @model_validator(mode="before")
    @classmethod
    def _drop_unset(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if value not in _UNSET}

    @property
    def dialect(self) -> Dialect:
        """The dialect in which results must be written."""
        return Dialect.of(self.protocol_version)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The requested tasks in the order of their execution; mining comes before infer."""
        return tuple(task for task in Task if getattr(self, task.flag))

    def require_tasks(self) -> tuple[Task, ...]:
        """Return `tasks`; ConfigError if there are none, or one that runs alone has company."""
        tasks = self.tasks
        if not tasks:
            flags = spoken([task.flag for task in Task], "or")
            raise ConfigError(f"env.yaml: no task is asked for; set {flags} to true")
        for task in tasks:
            if TRAITS[task].runs_alone and len(tasks) > 1:
                others = spoken([other.flag for other in Task if other is not task], "or")
                raise ConfigError(
                    f"env.yaml: {task.flag} is set together with {others}; {task.value} runs alone"
                )
        return tasks


def load_env(path: Path) -> Env:
    """Return the `Env` of a file; a ConfigError names every wrong key.

    Outside a container the file may be missing, or may not name the task.
    """
    default = _default_task()
    if default is not None and not path.exists():
        return Env(protocol_version=Dialect.STAGE_FOLDERS.value, **{default.flag: True})
    document = read_yaml(path)
    result = validate(document, document.value, Env)
    problems = list(_misspelt_keys(document))
    problems += result if isinstance(result, list) else ()
    if problems or isinstance(result, list):
        raise config_error(path.name, problems)
    if default is None or result.tasks == (default,):
        return result
    if result.tasks:
        asked = " and ".join(task.value for task in result.tasks)
        raise ConfigError(
            f"{path.name} asks for {asked}, the command for {default.value}; correct one of them,"
            " or use `detex run`, which does what env.yaml says"
        )
    return result.model_copy(update={default.flag: True})


def _default_task() -> Task | None:
    """Return the task that a `detex` command names, where no platform writes an env.yaml."""
    name = os.environ.get(TASK_VARIABLE)
    return Task(name) if name else None


def _misspelt_keys(document: Document) -> Iterator[Problem]:
    """Yield unknown keys that look like a known key; others may be for a newer image."""
    sections: list[tuple[Location, object, type[BaseModel]]] = [
        ((), document.value, Env),
        (("input",), document.value.get("input"), InputPaths),
        (("output",), document.value.get("output"), OutputPaths),
    ]
    for location, values, model in sections:
        for key in values if isinstance(values, dict) else ():
            close = None if key in model.model_fields else misspelt(key, model.model_fields)
            if close is not None:
                place = (*location, key)
                name = ".".join(map(str, place))
                text = f"{document.where(place)}: {name}: unknown key; did you mean '{close}'?"
                yield Problem(document.mark(place), text, name)


def salvaged_env(path: Path) -> Env:
    """Return the run's name and output paths from a wrong env.yaml, or else their defaults."""
    try:
        document = read_yaml(path)
        known = {k: value for k, value in document.value.items() if k in ("task_id", "output")}
        return validated(document, known, Env)
    except ConfigError:
        return Env()


_UNSET = ("", "~", "null", None)


def _resolved(
    model: type[BaseModel], values: Any, *, may_be_unset: tuple[str, ...] = ()
) -> dict[str, Any] | Any:
    """Complete a section: unset paths follow the root, relative paths start beside it."""
    if values in _UNSET:
        values = {}
    if not isinstance(values, Mapping):
        return values
    default_root: Path = model.model_fields["root_dir"].default
    given_root = values.get("root_dir")
    root = Path(given_root) if given_root and isinstance(given_root, str | Path) else default_root
    root = root if root.is_absolute() else Path("/") / root
    paths: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        given = values.get(key)
        if isinstance(given, str | Path) and given not in _UNSET:
            paths[key] = _mounted(root.parent / given)
        elif key in values and given in _UNSET and key.endswith(may_be_unset or ("\0",)):
            paths[key] = None
        elif key not in values or given in _UNSET:
            paths[key] = _mounted(root / Path(field.default).relative_to(default_root))
        else:
            paths[key] = given
    return paths


def _mounted(path: Path) -> Path:
    return Path(mounted(str(path)))
