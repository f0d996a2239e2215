"""Images that show the same, which must not lie on both sides of a division."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path


def groups_of_near_duplicates(paths: Sequence[Path]) -> list[list[int]]:
    """Groups of at least two images that are copies of each other, as positions in `paths`."""
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
