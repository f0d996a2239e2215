"""The check of the whole config.yaml before the run starts; it names every wrong key at once.

`hyperparameters.py` defines the values of each key; this file deals with unknown keys.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.limited_yaml import Document
from executor.errors import ObjectTypeError
from executor.hyperparameters import (
    BOXES,
    INSTANCE_SEGMENTATION,
    Hyperparameters,
    given,
)
from executor.other_words import instead_of, remark_on
from executor.task_models import TRAITS
from executor.task_words import Task
from executor.validation import Problem, config_error, misspelt, shown, validate
from executor.yaml_reader import read_yaml

# Platforms set these keys for their own use; they have no effect here.
_FOREIGN_KEYS = frozenset(
    {*(task.flag for task in Task), "shm_size", "openpai_enable", "code_config"}
    | {"prompt", "ymir_debug", "protocol_version", "task_id", "gpu_count"}
)
_FOREIGN_PREFIX = "git_"

_TAKE_OUT = "take it out, or look for its name in the template or the schema of this image"


@dataclass(frozen=True)
class Findings:
    """The findings about a config.yaml.

    problems  faults that end the run
    remarks   oddities that are only logged
    """

    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


Settings = Mapping[Task, Hyperparameters]
"""The settings of each task that has no wrong key."""

Inspect = Callable[[Document, Settings], Findings]
"""A further check of settings that this package cannot judge."""


def check_config(
    path: Path, tasks: Collection[Task], *, inspect: Inspect = lambda document, settings: Findings()
) -> list[str]:
    """Refuse a config.yaml that any of `tasks` cannot use; return remarks on its oddities."""
    document = read_yaml(path)
    values = given(document.value)
    settings: dict[Task, Hyperparameters] = {}
    unknown = _unknown_keys(document, tasks)
    problems = list(unknown.problems)
    for task in tasks:
        result = validate(document, values, TRAITS[task].settings)
        if isinstance(result, list):
            problems += result
        else:
            settings[task] = result
            problems += _object_type_problems(document, result)
    further = inspect(document, settings)
    problems += further.problems
    if problems:
        raise config_error(document.path.name, problems)
    remarks = [*unknown.remarks, *_class_remarks(document, settings), *further.remarks]
    return list(dict.fromkeys(remarks))


def _class_remarks(document: Document, settings: Settings) -> Iterator[str]:
    """Yield remarks on class names that are allowed but are probably mistakes."""
    names = settings[Task.TRAINING].class_names if Task.TRAINING in settings else ()
    seen: dict[str, str] = {}
    for index, name in enumerate(names):
        if name.casefold() in ("background", "__background__"):
            yield (
                f"{document.where(('class_names', index))}: class_names: {shown(name)} would be a "
                "class of objects; take it out, unless the labels number it too: what is no object "
                "needs no name"
            )
        where = f"{document.where(('class_names', index))}: class_names:"
        if "," in name:
            yield f"{where} {shown(name)} holds a comma and is one class; write one for each item"
        twin = seen.setdefault(name.casefold(), name)
        if twin != name:
            yield (
                f"{where} {shown(twin)} and {shown(name)} are two classes; take one out if they "
                "are the same"
            )


def _object_type_problems(document: Document, settings: Hyperparameters) -> Iterator[Problem]:
    if settings.object_type not in (BOXES, INSTANCE_SEGMENTATION):
        key = ("object_type",)
        yield Problem(
            document.mark(key),
            f"{document.where(key)}: object_type: not supported by this image (got "
            f"{settings.object_type}); allowed 2 (boxes) or 4 (instance segmentation)",
            "object_type",
            ObjectTypeError,
        )


def _unknown_keys(document: Document, tasks: Collection[Task]) -> Findings:
    """Find the keys that this image does not know.

    Platforms and users add keys for other programs. So an unknown key is refused only if it looks
    misspelt, or if it is another trainer's name for a setting that would change the result.
    """
    known = {key for task in tasks for key in TRAITS[task].settings.model_fields}
    elsewhere = {key for each in TRAITS.values() for key in each.settings.model_fields} - known
    found = Findings()
    for key, value in document.value.items():
        if key in known or key in _FOREIGN_KEYS or key.startswith(_FOREIGN_PREFIX):
            continue
        head = f"{document.where((key,))}: {shown(key)[1:-1]}:"
        got = f"(got {shown(value)})"
        advice = next(filter(None, (instead_of(key, task) for task in tasks)), None)
        close = misspelt(key, known | elsewhere)
        if key in elsewhere:
            found.remarks.append(f"{head} not used by this task {got}; take it out")
        elif advice and key in given(document.value):
            text = f"{head} not a key of this image {got}; {advice}"
            found.problems.append(Problem(document.mark((key,)), text, key))
        elif remark_on(key):
            found.remarks.append(f"{head} not a key of this image {got}; {remark_on(key)}")
        elif close:
            text = f"{head} unknown key {got}; did you mean '{close}'?"
            found.problems.append(Problem(document.mark((key,)), text, key))
        else:
            found.remarks.append(f"{head} unknown key {got}, which has no effect; {_TAKE_OUT}")
    return found
