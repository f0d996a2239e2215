"""The images to mine or to infer, streamed from the index; memory does not hold the list."""

import logging
from collections.abc import Iterator
from pathlib import Path

from app.engine.data.problems import Problems
from app.engine.errors import ImageError
from executor.dataset_reader import Asset, iter_candidates

logger = logging.getLogger(__name__)


class Candidates:
    """Each candidate once, in the index's order; can be walked through several times."""

    def __init__(self, index_file: Path | None) -> None:
        self._index_file = index_file
        self._length = sum(1 for _ in iter_candidates(index_file))
        self._problems = Problems()
        if not self._length:
            logger.warning("%s lists no images: the result is empty", index_file)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Asset]:
        return iter_candidates(self._index_file)

    def unreadable(self, asset: Asset, error: ImageError) -> None:
        """Remember that an image could not be read."""
        self._problems.add("unreadable image", f"{asset.image_text}: {error}")

    def report(self) -> None:
        """One warning for each kind of problem met."""
        self._problems.report(logger)
