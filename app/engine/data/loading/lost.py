"""Images that a storage does not give: what they have in common, and how to tell it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.engine.errors import StorageError

MAX_LOST_SHARE = 0.05
"""Of the images of a task, or of a pass over a set; with more, the storage must be at fault."""

MAX_LOST_IN_A_ROW = 50


class LostImages:
    """How many, where, and why; memory does not grow with them."""

    def __init__(self, errors: Iterable[StorageError] = ()) -> None:
        self._reasons: Counter[str] = Counter()
        self._folder: Path | None = None
        for error in errors:
            self.add(error)

    def __len__(self) -> int:
        return self._reasons.total()

    def add(self, error: StorageError) -> None:
        """One more."""
        folder = Path(error.place).parent
        self._reasons[error.reason] += 1
        self._folder = _common_folder(self._folder or folder, folder)

    def told(self, which: str) -> str:
        """A sentence about `which` ("3 of 20 images"), naming their folder; there must be some."""
        reason, _ = self._reasons.most_common(1)[0]
        return (
            f"{self._folder}: {which} cannot be read from this storage ({reason}); check"
            " what is mounted there and who may read it, then start again"
        )


def _common_folder(a: Path, b: Path) -> Path:
    """The folder that holds both; where that says nothing, the second of them."""
    shared: Sequence[str] = ()
    for first, second in zip(a.parts, b.parts, strict=False):
        if first != second:
            break
        shared = (*shared, first)
    return Path(*shared) if len(shared) > 1 or a == b else b
