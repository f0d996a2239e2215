"""Find the images that a result names in a folder."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from os.path import commonpath
from pathlib import Path, PurePosixPath

from app.engine.data.images.decoding import image_suffixes
from app.engine.errors import DatasetError


def find_images(names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the file of each name that has one below the folder.

    A name is that of the file, or a path whose end it has in common with the file. Raises
    DatasetError if two files fit a name equally.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder; name the one with the images")
    at_hand: dict[str, set[Path]] = defaultdict(set)
    suffixes = image_suffixes()
    for path in folder.rglob("*"):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            at_hand[path.name].add(path)
    found: dict[str, Path] = {}
    # Names with folders say more: what they mean is not meant by a bare name.
    for name in sorted(names, key=lambda name: "/" not in name.removeprefix("./")):
        files = at_hand[PurePosixPath(name).name]
        if files:
            found[name] = _only(name, files, folder)
            files.remove(found[name])
    return found


def common_folder(files: Iterable[Path]) -> Path:
    """Return the innermost folder that holds all files, which have absolute paths."""
    folders = {file.parent for file in files}
    return Path(commonpath(folders)) if folders else Path()


def _only(name: str, files: set[Path], folder: Path) -> Path:
    """The file with the longest end in common with the name."""
    shared = {file: _num_shared(PurePosixPath(name).parts, file.parts) for file in files}
    best = sorted(file for file in files if shared[file] == max(shared.values()))
    if len(best) > 1:
        raise DatasetError(
            f"{name} may be {best[0].relative_to(folder)} or {best[1].relative_to(folder)} below"
            f" {folder}; name the folder that the index was made of, or the task's folder with --in"
        )
    return best[0]


def _num_shared(first: Sequence[str], second: Sequence[str]) -> int:
    """The number of parts that the ends of two paths have in common."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
