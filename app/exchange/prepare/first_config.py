"""The first config.yaml and env.yaml of a task's folder, with comments for their next author."""

from collections.abc import Sequence
from statistics import median
from textwrap import wrap

import yaml

from app.engine.structures.record import ImageRecord
from app.exchange.prepare.request import PrepareRequest

MASK_CONFIG = "configs/Mobile/mask_rcnn_mobilenetv2_FPN_light.yaml"
_INSTANCE_SEGMENTATION = 4  # a task's object_type

Entry = tuple[str, str, object]
"""Comment, key and value."""

_BATCH_SIZE = 8
_WIDTH = 98
_WRAPPED = 80  # a line of YAML ends after this column


def training_config(
    request: PrepareRequest, records: Sequence[ImageRecord], class_names: Sequence[str]
) -> str:
    """The config.yaml of a training.

    records  the training images
    """
    shorter = median(min(record.size) for record in records)
    entries: list[Entry] = [
        (
            "The classes; the number of a class is its place in this list.",
            "class_names",
            list(class_names),
        ),
        (
            "The model. This one is small: it learns in minutes to hours without a GPU."
            " `detex configs` lists the others, which are slower." + _about_masks(records),
            "config_file",
            request.config_file,
        ),
        (
            "Images that are learnt from at once. Smaller if memory is short.",
            "batch_size",
            min(_BATCH_SIZE, len(records)),
        ),
        ("Iterations, each over one batch. 0: chosen by the number of images.", "max_iter", 0),
        ("0: chosen for the model and batch_size.", "learning_rate", 0),
        (
            "Pixels to which the shorter side of an image is scaled; that of the training images is"
            f" {shorter:g} in the median. Larger finds smaller objects and takes longer. 0: as the"
            " model's file says.",
            "image_size",
            0,
        ),
        ("The format of the files in annotations/.", "export_format", "coco:raw"),
    ]
    if request.accepted_smells:
        entries.append(
            (
                "Warnings about the data that were accepted with --accepted-smells.",
                "accepted_smells",
                ", ".join(request.accepted_smells),
            )
        )
    title = "Made by `detex prepare`. `detex schema training` describes all settings."
    return _file(title, entries)


def candidate_config() -> str:
    """The config.yaml of mining and infer."""
    return _file(
        "Made by `detex prepare`. `detex schema infer` and `detex schema mining` describe all"
        " settings.",
        [
            ("Detections with a lower score are left out (infer).", "conf_threshold", 0.3),
            ("Images that the model takes at once.", "batch_size", 4),
        ],
    )


def environment(task: str) -> str:
    """The env.yaml of a task: training, mining or infer."""
    return (
        f"# For a container. `detex` does not need it: the verb says the task.\n"
        f"protocol_version: 1.1.0\nrun_{task}: true\n"
    )


def _about_masks(records: Sequence[ImageRecord]) -> str:
    masked = sum(mask is not None for record in records for mask in record.segmentations or ())
    if not masked:
        return ""
    total = sum(map(len, records))
    return (
        f" It learns boxes only, but {masked} of {total} objects have masks: to learn these, write"
        f" {MASK_CONFIG} and add `object_type: {_INSTANCE_SEGMENTATION}`."
    )


def _file(title: str, entries: Sequence[Entry]) -> str:
    parts = [_comment(title)]
    for comment, key, value in entries:
        parts.append(f"{_comment(comment)}\n{key}: {_value(value)}")
    return "\n\n".join(parts) + "\n"


def _value(value: object) -> str:
    """YAML on one line, or on several if it is long."""
    text = yaml.safe_dump([value], allow_unicode=True, width=_WRAPPED, default_flow_style=True)
    return text.strip()[1:-1]


def _comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in wrap(text, _WIDTH))
