"""Class names of the objects of a data set, found and counted."""

from collections.abc import Iterable

from app.engine.data.formats._reading import Reading
from app.engine.data.problems import Effect
from app.engine.structures.class_names import match_names


class ClassFinder:
    """The class of each object of one set, with a count of every name that needs a word."""

    def __init__(self, reading: Reading, used: Iterable[str]) -> None:
        """`used` are all names that the set uses, asked for or not."""
        reading.decisions.names.update(used)
        self._matches = match_names(reading.class_names, reading.decisions.names)
        self._problems = reading.problems

    def find(self, name: str) -> int | None:
        """Class of an object whose class has one of the names `used`; None, counted, if unknown."""
        match = self._matches[name]
        if match.kind:
            effect = Effect.DROPPED if match.class_id is None else Effect.CHANGED
            self._problems.add(match.kind, match.example, effect)
        return match.class_id
