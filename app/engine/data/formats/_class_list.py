"""The list of class names that labelling tools leave beside YOLO labels, against `class_names`.

The numbers in labels mean nothing without it; where it is there, it must be the one that was asked
for, at least as far as both go.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from app.engine.data.formats._text import decode
from app.engine.data.problems import Effect, Problems
from app.engine.structures.class_names import folded_name
from common.limited_yaml import parse_yaml

OTHER_ORDER = "class list beside the labels with the same names at other numbers than class_names"
OTHER_NAMES = "class list beside the labels with other names than class_names (numbers count)"

_REMEDY = "bring class_names into its order, or remove the list if it belongs to other labels"
_FILES = ("classes.txt", "obj.names", "_darknet.labels", "data.yaml", "data.yml", "dataset.yaml")
_LEVELS = 3
_MAX_FOLDERS = 50
_MAX_BYTES = 1 << 20
_SHOWN = 10


def check_class_lists(
    annotations: Iterable[Path], class_names: Sequence[str], problems: Problems
) -> list[Path]:
    """The lists in the folders of the labels and two above that agree; others are told."""
    agreeing = []
    for path in _lists_beside(annotations):
        names = _read(path)
        if not names:
            continue
        mine = {folded_name(name): index for index, name in enumerate(class_names)}
        # Nobody's secrets: whatever else lies there under such a name is not quoted.
        is_known = any(folded_name(name) in mine for name in names)
        theirs = numbered(names) if is_known else f"{len(names)} names, none of class_names"
        example = f"{path} has {theirs}; class_names are {numbered(class_names)}"
        if any(mine.get(folded_name(name), index) != index for index, name in enumerate(names)):
            problems.add(OTHER_ORDER, example, Effect.STOPS, remedy=_REMEDY)
        elif any(
            folded_name(a) != folded_name(b) for a, b in zip(names, class_names, strict=False)
        ):
            problems.add(OTHER_NAMES, example)
        else:
            agreeing.append(path)
    return agreeing


def numbered(names: Sequence[str]) -> str:
    """The first names with their numbers."""
    shown = ", ".join(f"{index} {name}" for index, name in enumerate(names[:_SHOWN]))
    return f"{shown}, ..." if len(names) > _SHOWN else shown


def _lists_beside(annotations: Iterable[Path]) -> list[Path]:
    folders: dict[Path, None] = {}
    for folder in dict.fromkeys(path.parent for path in annotations):
        folders.update(dict.fromkeys([folder, *folder.parents][:_LEVELS]))
        if len(folders) >= _MAX_FOLDERS:
            break
    return [path for folder in folders for name in _FILES if (path := folder / name).is_file()]


def _read(path: Path) -> list[str]:
    """Names by number; none where the file holds no list."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return []
        text, _ = decode(path.read_bytes())
        if path.suffix not in (".yaml", ".yml"):
            return [line.strip() for line in text.splitlines() if line.strip()]
        # Names stay as they are written: `no` is no truth value, `1e3` no number.
        names: Any = parse_yaml(text, path).value.get("names")
        if isinstance(names, dict):
            names = [name for _, name in sorted((int(key), name) for key, name in names.items())]
    except (OSError, ValueError, TypeError):
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    return names
