"""Choose the classes of a data set: those that a user names, else those that have objects."""

from collections.abc import Sequence
from dataclasses import replace

from app.engine.data.datasets.filters import count_classes
from app.engine.data.problems import Effect, Problems
from app.engine.errors import DatasetError
from app.engine.structures.class_names import match_names, plain_name
from app.engine.structures.record import ImageRecord
from app.exchange.sources._objects import objects_of, with_objects

NOT_CHOSEN = "object of a class that --classes does not name (dropped)"
UNUSED = "class without an object (not in class_names; --classes keeps it)"
ALIKE = "class that differs from another one in the case of letters only (two classes)"

_SHOWN = 30


def choose_classes(
    records: Sequence[ImageRecord],
    names: Sequence[str],
    wanted: Sequence[str],
    problems: Problems,
) -> tuple[list[ImageRecord], list[str]]:
    """Return the records with the objects of the chosen classes, and the names of these.

    names   class names of the records; the same name twice is one class
    wanted  names to keep, in their order; if there are none, all names with an object

    Raises DatasetError for a wanted name that the data does not have, and if nothing is left.
    """
    chosen = _wanted(names, wanted) if wanted else _used(records, names, problems)
    numbers = {name: number for number, name in enumerate(chosen)}
    table = [numbers.get(_chosen_name(name, chosen)) for name in names]
    kept = []
    for record in records:
        objects = []
        for found in objects_of(record):
            number = table[found.class_id]
            if number is None:
                problems.add(NOT_CHOSEN, names[found.class_id], Effect.DROPPED)
            else:
                objects.append(replace(found, class_id=number))
        kept.append(with_objects(record, objects))
    _tell_alike(chosen, problems)
    return kept, chosen


def _used(records: Sequence[ImageRecord], names: Sequence[str], problems: Problems) -> list[str]:
    """The names of classes with an object to learn from, each once."""
    counts = count_classes(records, len(names)).tolist()
    used = {name for name, count in zip(names, counts, strict=True) if count}
    for name in dict.fromkeys(names):
        if name not in used:
            problems.add(UNUSED, name)
    if not used:
        raise DatasetError(
            f"none of {len(records)} images has an object to learn from; see what was left out"
        )
    return [name for name in dict.fromkeys(names) if name in used]


def _wanted(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Raises DatasetError for a name that is not there."""
    chosen = list(dict.fromkeys(plain_name(name) for name in wanted))
    for name in chosen:
        if not any(_chosen_name(other, chosen) == name for other in names):
            known = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            raise DatasetError(f"--classes: no class is called {name}; the data has {known}")
    return chosen


def _chosen_name(name: str, chosen: Sequence[str]) -> str:
    """The chosen name that is meant by a name of the data; '' for none."""
    number = match_names(chosen, [name])[name].class_id
    return "" if number is None else chosen[number]


def _tell_alike(names: Sequence[str], problems: Problems) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            problems.add(ALIKE, f"{other} and {name}")
