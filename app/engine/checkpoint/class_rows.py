"""Copy the rows of weights that belong to classes by class name when the class list changes.

K: number of classes, g: anchors per position (1 outside RetinaNet and SSD); rows are
g x (K x width + rest)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from app.engine.structures.class_names import match_names


@dataclass(frozen=True, slots=True)
class _RowLayout:
    """width: number of rows of one class; background: of the background, after the classes."""

    pattern: re.Pattern[str]
    width: int
    background: int


_LAYOUTS = (
    _RowLayout(re.compile(r"(^|\.)box_predictor\.(\d+\.)?cls_score\."), 1, 1),
    _RowLayout(re.compile(r"(^|\.)box_predictor\.(\d+\.)?bbox_pred\."), 4, 0),
    _RowLayout(re.compile(r"(^|\.)mask_head\.predictor\."), 1, 0),
    _RowLayout(re.compile(r"^head\.cls_score\.\d+\."), 1, 1),  # SSD's, for each level
    _RowLayout(re.compile(r"^head\.cls_score\."), 1, 0),
)


def partners(file_classes: Sequence[str], model_classes: Sequence[str]) -> dict[int, int]:
    """Index of a class in the model -> its index in the file, for the classes that both have."""
    matches = match_names(model_classes, file_classes)
    found: dict[int, int] = {}
    for place, name in enumerate(file_classes):
        class_id = matches[name].class_id
        if class_id is not None:
            found.setdefault(class_id, place)
    return found


def same_classes(names: Sequence[str], other: Sequence[str]) -> bool:
    """Whether both lists name the same classes in the same order, as `match_names` compares."""
    found = partners(names, other)
    return len(names) == len(other) == len(found) and all(a == b for a, b in found.items())


def is_reordered(names: Sequence[str], other: Sequence[str]) -> bool:
    """Whether both lists name the same classes, each once, in another order."""
    found = partners(names, other)
    places = set(found.values())
    return len(names) == len(other) == len(places) and any(a != b for a, b in found.items())


def has_class_rows(key: str) -> bool:
    """Whether the parameter `key` may have rows of classes."""
    return any(layout.pattern.search(key) for layout in _LAYOUTS)


def map_class_rows(
    key: str,
    file_tensor: Tensor,
    model_tensor: Tensor,
    *,
    file_classes: Sequence[str],
    model_classes: Sequence[str],
) -> Tensor:
    """Return parameter `key` with the file's rows of classes that it has, else the model's rows.

    Returns a tensor without rows of classes (also of class-agnostic heads) unchanged.
    """
    layout = next((layout for layout in _LAYOUTS if layout.pattern.search(key)), None)
    if layout is None:
        return file_tensor
    file_rows = len(file_classes) * layout.width + layout.background
    model_rows = len(model_classes) * layout.width + layout.background
    groups, rest = divmod(len(file_tensor), file_rows)
    if rest or len(model_tensor) != groups * model_rows:
        return file_tensor
    old = file_tensor.reshape(groups, file_rows, *file_tensor.shape[1:])
    new = model_tensor.detach().to(old).reshape(groups, model_rows, *model_tensor.shape[1:]).clone()
    for index, place in partners(file_classes, model_classes).items():
        new[:, index * layout.width : (index + 1) * layout.width] = old[
            :, place * layout.width : (place + 1) * layout.width
        ]
    if layout.background:
        new[:, -layout.background :] = old[:, -layout.background :]
    return new.reshape(model_tensor.shape)


def class_mapping(file_classes: Sequence[str], model_classes: Sequence[str]) -> str:
    """One sentence with the classes that keep their weights, the new and the dropped ones."""
    found = partners(file_classes, model_classes)
    kept = [model_classes[place] for place in sorted(found)]
    new = [name for place, name in enumerate(model_classes) if place not in found]
    used = set(found.values())
    dropped = [name for place, name in enumerate(file_classes) if place not in used]
    return f"Classes by name: kept {kept}; new {new}; dropped {dropped}."
