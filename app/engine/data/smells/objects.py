"""Smells of class numbers, and of dropped, doubled and crowd objects."""

import numpy as np

from app.engine.data.formats._coco_objects import SHIFTED_IDS
from app.engine.data.formats.voc import OTHER_IMAGE
from app.engine.data.problems import Effect
from app.engine.data.smells.scent import MANY, MIN_OBJECTS, SOME, Scent
from app.engine.structures.class_names import UNKNOWN_CLASS
from common.text import printable


def other_column(scent: Scent) -> str | None:
    """The numbers in the place of the class look like coordinates."""
    numbers, count = scent.reading.facts.class_numbers, len(scent.reading.class_names)
    wrong = {k: n for k, n in numbers.items() if not (0 <= k < count and k.is_integer())}
    if numbers.total() < MIN_OBJECTS or sum(wrong.values()) < numbers.total() / 2:
        return None
    span = max(numbers) - min(numbers) + 1
    if all(number.is_integer() for number in wrong) and len(numbers) > span / 2 and span < 100:
        return None  # numbers of more classes, or from another number than 0
    examples = ", ".join(f"{number:g}" for number in list(wrong)[:3])
    return (
        f"in {sum(wrong.values())} of {numbers.total()} lines the first number is none of 0 to"
        f" {count - 1}, but for example {examples}: the class seems to be in another column, or"
        " class_names is not the whole list with which the files were written; write the class"
        " first, or complete class_names"
    )


def numbers_from_one(scent: Scent) -> str | None:
    """Class numbers begin at 1 instead of 0."""
    numbers = scent.reading.facts.class_numbers
    count = len(scent.reading.class_names)
    if not numbers or 0 in numbers or max(numbers) < count:
        return None
    low, high = min(numbers), max(numbers)
    if other_column(scent):
        return None
    return (
        f"classes are numbered {low:g} to {high:g} and never 0, but {count} class_names are"
        f" numbered 0 to {count - 1}; number them from 0, or correct class_names"
    )


def numbers_beyond(scent: Scent) -> str | None:
    """Class numbers begin at 0, but some are larger than that of the last class."""
    numbers = scent.reading.facts.class_numbers
    count = len(scent.reading.class_names)
    beyond = sum(n for number, n in numbers.items() if number >= count)
    if not beyond or 0 not in numbers or other_column(scent):
        return None
    return (
        f"{beyond} objects have class numbers up to {max(numbers):g}, but {count} class_names are"
        f" numbered 0 to {count - 1}: class_names seems not to be the list that the files were"
        " written with; write all of its names, in its order"
    )


def shifted_ids(scent: Scent) -> str | None:
    """The category ids of a file's objects are shifted against its list of categories."""
    files = scent.problems.examples(SHIFTED_IDS)
    if not files:
        return None
    return (
        f"category_ids of {scent.problems.counts[SHIFTED_IDS]} COCO files are numbered from"
        f" another number than their categories, for example {printable(files[0])}: most objects"
        " would have the class of a neighbour; correct the ids of one of both"
    )


def dropped(scent: Scent) -> str | None:
    """Many objects of the requested classes cannot be used."""
    dropped = scent.problems.with_effect(Effect.DROPPED)
    dropped.pop(UNKNOWN_CLASS, None)
    lost = sum(dropped.values())
    total = lost + sum(len(record) for record in scent.records)
    if total < MIN_OBJECTS or lost < MANY * total:
        return None
    worst = next(iter(dropped))
    return (
        f"{lost} of {total} objects of the asked-for classes are dropped, most of them: {worst},"
        f" for example {printable(scent.problems.examples(worst)[0])}; correct the files"
    )


def crowds(scent: Scent) -> str | None:
    """Many objects are marked as crowds."""
    flags = [record.crowd for record in scent.records if record.crowd is not None]
    crowds, total = sum(int(flag.sum()) for flag in flags), sum(map(len, scent.records))
    if total < MIN_OBJECTS or crowds < SOME * total:
        return None
    return (
        f"{crowds} of {total} objects are marked as crowds (iscrowd 1), which are not learnt from;"
        " CVAT marks single objects so that were drawn with its brush: set their iscrowd to 0"
    )


def doubled(scent: Scent) -> str | None:
    """Many objects are in an image twice."""
    total = sum(map(len, scent.records))
    doubled = sum(
        len(record) - len(np.unique(np.column_stack((record.boxes, record.classes)), axis=0))
        for record in scent.records
        if len(record) > 1
    )
    if total < MIN_OBJECTS or doubled < SOME * total:
        return None
    return f"{doubled} of {total} objects repeat another one of the same image; remove them"


def other_files(scent: Scent) -> str | None:
    """Annotation files name another image of the set as their image."""
    count = scent.problems.counts.get(OTHER_IMAGE, 0)
    if count < max(2, SOME / 2 * len(scent.records)):
        return None
    examples = "; ".join(map(printable, scent.problems.examples(OTHER_IMAGE)))
    return (
        f"{count} of {len(scent.records)} annotation files name another image of the set in"
        f" <filename>, for example {examples}: the lines of the index seem to be shifted; pair each"
        " image with its own file"
    )
