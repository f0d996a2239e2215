"""/img-man: what the platform shows of this image, generated from the hyper-parameter models.

`python -m executor.templates docker/img-man` writes the files; a test keeps them equal.
"""

import json
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from executor.env import Task
from executor.hyperparameters import MODELS, Hyperparameters

MAX_VALUE = 100  # characters that the platform's form takes

_WIDTH = 98
_MANIFEST = """\
# What this image is for: 2 = object detection.
object_type: 2
"""


def template_files() -> dict[str, str]:
    """Content of every file of /img-man by its name."""
    files = {"manifest.yaml": _MANIFEST}
    for task, model in MODELS.items():
        files[f"{task.value}-template.yaml"] = template(task, model)
        schema = json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False)
        files[f"{task.value}.schema.json"] = schema + "\n"
    return files


def template(task: Task, model: type[Hyperparameters]) -> str:
    """The YAML that users start from: every key they may set, explained, with its default."""
    lines = [f"# Settings of {task.value}. Every key may be left out; its default is shown.", ""]
    for key, schema in model.model_json_schema()["properties"].items():
        if not schema.get("platform"):
            lines += _entry(key, schema)
    return "\n".join(lines) + "\n"


def _entry(key: str, schema: Mapping[str, Any]) -> list[str]:
    value = schema.get("template", schema["default"])
    assert isinstance(value, str | int | float | bool), f"{key}: templates hold scalars only"
    assert len(str(value)) <= MAX_VALUE, f"{key}: too long for the platform's form"
    comment = textwrap.wrap(" ".join(schema["description"].split()), _WIDTH)
    written = yaml.safe_dump({key: value}, width=1000, allow_unicode=True).strip()
    return [*(f"# {line}" for line in comment), written, ""]


def write_templates(directory: Path) -> None:
    """Write all files of /img-man."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in template_files().items():
        (directory / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    write_templates(Path(sys.argv[1]))
