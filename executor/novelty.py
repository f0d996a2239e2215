"""Which texts of a long stream repeat an earlier one: exactly, but without keeping them all."""

from array import array
from collections.abc import Iterable
from itertools import pairwise


class Novelty:
    """Tells first meetings from repetitions in a stream that was seen whole once before.

    Texts themselves are kept only where two have the same hash: repeated ones, in other words.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """`texts` is the whole stream."""
        hashes = sorted(array("q", map(hash, texts)))
        self._doubtful = {hashed for hashed, following in pairwise(hashes) if hashed == following}
        self._met: set[str] = set()

    def is_new(self, text: str) -> bool:
        """Whether `text` comes for the first time; to be asked for each text of the stream."""
        if hash(text) not in self._doubtful:
            return True
        if text in self._met:
            return False
        self._met.add(text)
        return True
