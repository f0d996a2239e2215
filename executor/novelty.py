"""Exact detection of repeated texts in a long stream, without keeping all texts in memory."""

from array import array
from collections.abc import Iterable
from itertools import pairwise


class Novelty:
    """Tell first occurrences from repetitions, on the second pass through a stream.

    Only texts whose hash occurs twice are kept: in practice those that are repeated.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """Make the first pass through the stream `texts`."""
        hashes = sorted(array("q", map(hash, texts)))
        self._doubtful = {hashed for hashed, following in pairwise(hashes) if hashed == following}
        self._met: set[str] = set()

    def is_new(self, text: str) -> bool:
        """Whether `text` occurs for the first time; call it once for each text of the stream."""
        if hash(text) not in self._doubtful:
            return True
        if text in self._met:
            return False
        self._met.add(text)
        return True
