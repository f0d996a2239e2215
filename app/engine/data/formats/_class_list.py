"""Compare the list of class names that labelling tools write beside YOLO labels to `class_names`.

Labels have class numbers only. A list beside them must agree with `class_names`, as far as both
have names.
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
    """Return the lists in the labels' folders and two above that agree; count those that do not."""
    agreeing = []
    for path in _lists_beside(annotations):
        names = _read(path)
        if not names:
            continue
        mine = {folded_name(name): index for index, name in enumerate(class_names)}
        # A file of that name without any known class may be something private: do not quote it.
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
    """The first names with their numbers, as text."""
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
    """Read names by number; the list is empty if the file is no list of names."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return []
        text, _ = decode(path.read_bytes())
        if path.suffix not in (".yaml", ".yml"):
            return [line.strip() for line in text.splitlines() if line.strip()]
        # The parser keeps names as texts, also `no` and `1e3`.
        names: Any = parse_yaml(text, path).value.get("names")
        if isinstance(names, dict):
            names = [name for _, name in sorted((int(key), name) for key, name in names.items())]
    except (OSError, ValueError, TypeError):
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    return names
