"""Images that show the same, which must not lie on both sides of a division."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from app.engine.data.near_duplicates import near_duplicate_groups


def groups_of_copies(paths: Sequence[Path]) -> list[list[int]]:
    """Groups of at least two images that show the same, as positions in `paths`.

    They are near-duplicates or the same file, which finds copies of pictures without contrast, too.
    """
    near = near_duplicate_groups(paths).groups
    known = list(map(set, near))
    return near + [same for same in _same_files(paths) if not any(map(set(same).issubset, known))]


def _same_files(paths: Sequence[Path]) -> list[list[int]]:
    by_size = defaultdict(list)
    for index, path in enumerate(paths):
        by_size[path.stat().st_size].append(index)
    groups: dict[str, list[int]] = defaultdict(list)
    for alike in by_size.values():
        for index in alike if len(alike) > 1 else ():
            groups[_digest(paths[index])].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
