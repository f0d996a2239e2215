"""Find the class of an object by its name, and count names that do not match exactly."""

from collections.abc import Iterable

from app.engine.data.formats._reading import Reading
from app.engine.data.problems import Effect
from app.engine.structures.class_names import match_names


class ClassFinder:
    """Finds the classes of a set's objects and counts unknown or differently spelt names."""

    def __init__(self, reading: Reading, used: Iterable[str]) -> None:
        """`used` are all class names in the set, requested or not."""
        reading.decisions.names.update(used)
        self._matches = match_names(reading.class_names, reading.decisions.names)
        self._problems = reading.problems

    def find(self, name: str) -> int | None:
        """The class with this name, one of `used`; None if unknown, which is counted."""
        match = self._matches[name]
        if match.kind:
            effect = Effect.DROPPED if match.class_id is None else Effect.CHANGED
            self._problems.add(match.kind, match.example, effect)
        return match.class_id
