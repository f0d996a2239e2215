"""What was wrong with the data, counted by kind: reported once, never a reason to stop."""

import logging
from collections import Counter
from collections.abc import Mapping

from app.engine.errors import printable

_EXAMPLES = 3
_MAX_LENGTH = 300  # characters of an example


class Problems:
    """Counts of what was skipped or changed, with up to three examples of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> bool:
        """One more of `kind` ("unknown class"), seen at `example` (a path, a class name).

        True when the example is kept: the first three different ones are.
        """
        if len(example) > _MAX_LENGTH:
            example = f"{example[:_MAX_LENGTH]}..."
        self._counts[kind] += 1
        examples = self._examples.setdefault(kind, [])
        is_kept = len(examples) < _EXAMPLES and example not in examples
        if is_kept:
            examples.append(example)
        return is_kept

    @property
    def counts(self) -> Mapping[str, int]:
        """How many of each kind."""
        return dict(self._counts)

    def examples(self, kind: str) -> list[str]:
        """Up to three different examples of `kind`."""
        return list(self._examples.get(kind, []))

    @property
    def total(self) -> int:
        """How many of all kinds."""
        return self._counts.total()

    def lines(self) -> list[str]:
        """One line for each kind, most frequent first."""
        return [
            f"{count} x {kind}, for example {'; '.join(map(printable, self._examples[kind]))}"
            for kind, count in self._counts.most_common()
        ]

    def report(self, logger: logging.Logger) -> None:
        """One warning for each kind."""
        for line in self.lines():
            logger.warning("data: %s", line)
