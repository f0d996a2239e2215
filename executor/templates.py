"""/img-man: the platform's forms for this image, generated from the hyper-parameter models.

`python -m executor.templates docker/img-man` writes the files; a test keeps them equal. The image's
build writes its own, for `OBJECT_TYPE` 2 (boxes) or 4 (instance segmentation).
"""

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from executor.hyperparameters import BOXES, INSTANCE_SEGMENTATION, Hyperparameters
from executor.task_models import TRAITS
from executor.task_words import Task

MAX_VALUE = 100  # characters that fit into the platform's form

_WIDTH = 98
_OBJECT_TYPES = {
    BOXES: "object detection",
    INSTANCE_SEGMENTATION: "instance segmentation (platforms from 2.4 on)",
}
_OF_MASKS = {
    "config_file": "configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
    "export_format": "seg-coco:raw",
}
"""Values that the training template of a segmentation image shows in place of defaults."""


def template_files(object_type: int = BOXES) -> dict[str, str]:
    """Return the content of every file of /img-man by its name, for one kind of object.

    The kind is one number: only platforms from 2.4 on read a list, and 2.1 to 2.3 fail on it.
    """
    kind = _OBJECT_TYPES[object_type]
    manifest = f"# What this image is for: {object_type} = {kind}.\nobject_type: {object_type}\n"
    files = {"manifest.yaml": manifest}
    for task, traits in TRAITS.items():
        model = traits.settings
        shown = _OF_MASKS if object_type == INSTANCE_SEGMENTATION else {}
        files[f"{task.value}-template.yaml"] = template(task, model, shown)
        schema = json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False)
        files[f"{task.value}.schema.json"] = schema + "\n"
    return files


def template(task: Task, model: type[Hyperparameters], shown: Mapping[str, Any]) -> str:
    """Return the YAML that users start from: every key with an explanation and its default.

    shown  values to show in place of defaults
    """
    lines = [f"# Settings of {task.value}. Every key may be left out; its default is shown.", ""]
    for key, schema in model.model_json_schema()["properties"].items():
        if not schema.get("platform"):
            lines += _entry(key, schema, shown.get(key, schema.get("template")))
    return "\n".join(lines) + "\n"


def _entry(key: str, schema: Mapping[str, Any], shown: Any) -> list[str]:
    value = schema["default"] if shown is None else shown
    assert isinstance(value, str | int | float | bool), f"{key}: templates hold scalars only"
    assert len(str(value)) <= MAX_VALUE, f"{key}: too long for the platform's form"
    comment = textwrap.wrap(" ".join(schema["description"].split()), _WIDTH)
    written = yaml.safe_dump({key: value}, width=1000, allow_unicode=True).strip()
    return [*(f"# {line}" for line in comment), written, ""]


def write_templates(directory: Path, object_type: int = BOXES) -> None:
    """Write all files of /img-man."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in template_files(object_type).items():
        (directory / name).write_text(content, encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """FOLDER [OBJECT_TYPE]."""
    folder, object_type = [*arguments, str(BOXES)][:2]
    if object_type not in map(str, _OBJECT_TYPES):
        sys.exit(f"OBJECT_TYPE is {object_type}; this image can be for 2 (boxes) or 4 (masks)")
    write_templates(Path(folder), int(object_type))


if __name__ == "__main__":
    main(sys.argv[1:])
