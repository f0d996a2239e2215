"""The data.yaml of YOLO's trainers: names of classes, and where the images of each set lie."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.engine.data.formats._coco_names import as_elsewhere, has_image_suffix
from app.engine.data.formats._text import decode
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.structures.class_names import plain_name
from app.exchange.sources._place import is_there
from app.exchange.sources._source import Split, assign
from common.limited_yaml import Value, YamlError, parse_yaml

NOT_THERE = "image that data.yaml lists but that is not there (left out)"
MOVED = "path in data.yaml that is not there as written (found from the folder of data.yaml on)"

_KEYS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_USUAL_NAMES = ("data.yaml", "data.yml", "dataset.yaml")


def read_description(path: Path) -> dict[str, Value]:
    """The content of a data.yaml with the images of a set; empty for other YAML files."""
    content = read_names(path)
    return content if any(key in content for key in _KEYS) else {}


def read_names(path: Path) -> dict[str, Value]:
    """The content of a YAML file with names; empty for others.

    Raises DatasetError for a file of a usual name that is no YAML.
    """
    try:
        content = parse_yaml(decode(path.read_bytes())[0], path).value
    except (OSError, YamlError) as error:
        if path.name in _USUAL_NAMES:
            raise DatasetError(f"{path}: {error}") from error
        return {}
    return content if "names" in content else {}


def class_names_of(content: dict[str, Value], path: Path) -> list[str]:
    """The names by number, from a list or a mapping; a number without a name is called so."""
    names = content["names"]
    if isinstance(names, dict) and names and all(number.isdecimal() for number in names):
        by_number = {int(number): name for number, name in names.items()}
        names = [by_number.get(number, f"class {number}") for number in range(max(by_number) + 1)]
    texts = [plain_name(name) for name in names if isinstance(name, str)]
    if not isinstance(names, list) or not texts or len(texts) < len(names) or not all(texts):
        raise DatasetError(
            f"{path}: names is no list of names, nor a mapping from numbers to names; correct it"
        )
    return texts


def images_of(content: dict[str, Value], path: Path, problems: Problems) -> dict[Path, Split]:
    """The set of each image that the entries name: folders, lists of images (.txt) and images.

    Raises DatasetError if an entry is not there, or if there is no image at all.
    """
    folders = _starts(content, path, problems)
    splits: dict[Path, Split] = {}
    entries = 0
    for key, split in _KEYS.items():
        value = content.get(key) or []
        for text in value if isinstance(value, list) else [value]:
            entries += 1
            if not isinstance(text, str):
                raise DatasetError(f"{path}: {key} is no path or list of paths; correct it")
            entry = located(text, folders, problems)
            if entry is None:
                raise DatasetError(
                    f"{path}: {key}: {text} is not there, looked for from"
                    f" {' and '.join(map(str, folders))}; correct the path"
                )
            for image in _images(entry, folders, problems):
                assign(splits, image, split, problems)
    if not splits:
        raise DatasetError(f"{path}: its {entries} entries hold no image; correct the paths")
    return splits


def located(text: str, folders: Sequence[Path], problems: Problems) -> Path | None:
    """The file or folder that a path names, from one of `folders` on; None if it is not there.

    If it is not there as written, the longest end of the path that is there below the last folder.
    """
    for folder in folders:
        if is_there(folder / text):
            return folder / text
    parts = as_elsewhere(text)
    for start in range(len(parts)):
        path = folders[-1].joinpath(*parts[start:])
        if is_there(path):
            problems.add(MOVED, f"{text} is {path}", Effect.TOLD)
            return path
    return None


def _starts(content: dict[str, Value], path: Path, problems: Problems) -> list[Path]:
    """The folders from which paths may start; that of the file comes last."""
    text = content.get("path")
    if not isinstance(text, str) or not text:
        return [path.parent]
    root = located(text, [path.parent], problems)
    if root is None:
        problems.add(MOVED, f"path: {text}", Effect.TOLD)
    return [root, path.parent] if root is not None and root != path.parent else [path.parent]


def _images(entry: Path, folders: Sequence[Path], problems: Problems) -> Iterator[Path]:
    if entry.is_dir():
        yield from sorted(
            path for path in entry.rglob("*") if has_image_suffix(path.name) and path.is_file()
        )
    elif entry.suffix.lower() != ".txt":
        yield entry
    else:
        for line in decode(entry.read_bytes())[0].splitlines():
            if name := line.strip():
                image = located(name, [entry.parent, *folders], problems)
                if image is None:
                    problems.add(NOT_THERE, f"{name} in {entry}", Effect.BROKEN)
                else:
                    yield image
