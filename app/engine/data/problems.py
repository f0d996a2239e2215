"""Count the problems found in data by kind, with their effect on images and objects."""

import logging
from collections import Counter
from collections.abc import Mapping
from enum import Enum

from common.text import printable

_EXAMPLES = 3
_MAX_LENGTH = 300  # characters of an example


class Effect(Enum):
    """What a kind of problem did to the images or objects that it counts."""

    BROKEN = "image left out, because a file is missing, damaged or of another size"
    LEFT_OUT = "image left out for another reason"
    DROPPED = "object dropped"
    CHANGED = "object or image used, but not as the file says"
    TOLD = "nothing"
    STOPS = "the data set cannot be read rightly as a whole"


class Problems:
    """Counts of problems by kind, with up to three examples of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        self._effects: dict[str, Effect] = {}
        self._remedies: dict[str, str] = {}

    def add(
        self, kind: str, example: str, effect: Effect = Effect.TOLD, *, remedy: str = ""
    ) -> bool:
        """Count a problem of `kind` ("unknown class") found at `example` (a path, a class name).

        Each call counts one image or one object, as `effect` says. All problems of a kind have the
        same effect and the same remedy (what the user can do). Returns whether the example is kept:
        the first three different examples are.
        """
        if len(example) > _MAX_LENGTH:
            example = f"{example[:_MAX_LENGTH]}..."
        self._counts[kind] += 1
        self._effects.setdefault(kind, effect)
        self._remedies.setdefault(kind, remedy)
        examples = self._examples.setdefault(kind, [])
        is_kept = len(examples) < _EXAMPLES and example not in examples
        if is_kept:
            examples.append(example)
        return is_kept

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of problems of each kind."""
        return dict(self._counts)

    def with_effect(self, *effects: Effect) -> dict[str, int]:
        """The number of problems of each kind with one of these effects, most frequent first."""
        return {
            kind: count
            for kind, count in self._counts.most_common()
            if self._effects[kind] in effects
        }

    def examples(self, kind: str) -> list[str]:
        """Up to three different examples of `kind`."""
        return list(self._examples.get(kind, []))

    def effect(self, kind: str) -> Effect:
        """What problems of `kind` did."""
        return self._effects[kind]

    def remedy(self, kind: str) -> str:
        """What the user can do about `kind`; '' if its reader does not say."""
        return self._remedies[kind]

    @property
    def total(self) -> int:
        """The number of problems of all kinds."""
        return self._counts.total()

    def lines(self) -> list[str]:
        """One line for each kind, most frequent first."""
        return [f"{count} x {self.told(kind)}" for kind, count in self._counts.most_common()]

    def told(self, kind: str) -> str:
        """The kind with its remedy and its examples, as part of a sentence."""
        remedy, examples = self._remedies[kind], self._examples[kind]
        if remedy:
            kind, examples = f"{kind}; {remedy}", examples[:2]
        return f"{kind}, for example {'; '.join(map(printable, examples))}"

    def report(self, logger: logging.Logger) -> None:
        """Log one warning for each kind."""
        for line in self.lines():
            logger.warning("data: %s", line)
