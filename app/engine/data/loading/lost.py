"""Images that cannot be read from their storage: their number, reasons and common folder."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.engine.errors import StorageError

MAX_LOST_SHARE = 0.05
"""Share of the images of a task, or of a pass over a set; above it, the storage is at fault."""

MAX_LOST_IN_A_ROW = 50


class LostImages:
    """Counts lost images by reason and keeps their common folder, but not the errors."""

    def __init__(self, errors: Iterable[StorageError] = ()) -> None:
        self._reasons: Counter[str] = Counter()
        self._folder: Path | None = None
        for error in errors:
            self.add(error)

    def __len__(self) -> int:
        return self._reasons.total()

    def add(self, error: StorageError) -> None:
        """Count one more lost image."""
        folder = Path(error.place).parent
        self._reasons[error.reason] += 1
        self._folder = _common_folder(self._folder or folder, folder)

    def told(self, which: str) -> str:
        """A sentence about `which` ("3 of 20 images") that names their folder; needs one error."""
        reason, _ = self._reasons.most_common(1)[0]
        return (
            f"{self._folder}: {which} cannot be read from this storage ({reason}); check"
            " what is mounted there and who may read it, then start again"
        )


def _common_folder(a: Path, b: Path) -> Path:
    """The deepest folder that contains both; `b` if that is the root or none."""
    shared: Sequence[str] = ()
    for first, second in zip(a.parts, b.parts, strict=False):
        if first != second:
            break
        shared = (*shared, first)
    return Path(*shared) if len(shared) > 1 or a == b else b
