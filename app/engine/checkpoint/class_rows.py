"""Rows of weights that belong to classes, taken over by class name when the class list changes.

K: classes of a list, g: anchors per position (1 outside RetinaNet); rows are g x (K x width + rest)
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _RowLayout:
    """width: rows of one class; background: rows of the background, after the classes."""

    pattern: re.Pattern[str]
    width: int
    background: int


_LAYOUTS = (
    _RowLayout(re.compile(r"(^|\.)box_predictor\.(\d+\.)?cls_score\."), 1, 1),
    _RowLayout(re.compile(r"(^|\.)box_predictor\.(\d+\.)?bbox_pred\."), 4, 0),
    _RowLayout(re.compile(r"(^|\.)mask_head\.predictor\."), 1, 0),
    _RowLayout(re.compile(r"^head\.cls_score\."), 1, 0),
)


def same_classes(names: Sequence[str], other: Sequence[str]) -> bool:
    """Whether both lists name the same classes in the same order, small differences aside."""
    return [_plain(name) for name in names] == [_plain(name) for name in other]


def map_class_rows(
    key: str,
    file_tensor: Tensor,
    model_tensor: Tensor,
    *,
    file_classes: Sequence[str],
    model_classes: Sequence[str],
) -> Tensor:
    """What the parameter `key` becomes: the file's rows where a class is known, else the model's.

    A tensor without rows of classes (class-agnostic heads included) is returned as it is.
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
    places = {_plain(name): index for index, name in enumerate(file_classes)}
    for index, name in enumerate(model_classes):
        place = places.get(_plain(name))
        if place is not None:
            new[:, index * layout.width : (index + 1) * layout.width] = old[
                :, place * layout.width : (place + 1) * layout.width
            ]
    if layout.background:
        new[:, -layout.background :] = old[:, -layout.background :]
    return new.reshape(model_tensor.shape)


def log_class_mapping(file_classes: Sequence[str], model_classes: Sequence[str]) -> None:
    """One line: which classes keep what they learned, which are new, which are gone."""
    known = {_plain(name) for name in file_classes}
    wanted = {_plain(name) for name in model_classes}
    logger.info(
        "Classes by name: kept %s; new %s; dropped %s.",
        [name for name in model_classes if _plain(name) in known],
        [name for name in model_classes if _plain(name) not in known],
        [name for name in file_classes if _plain(name) not in wanted],
    )


def _plain(name: str) -> str:
    return name.strip().casefold()
