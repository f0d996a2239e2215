"""Rules for values: each rule can check a value, and has words for messages."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

MAX_COUNT = 1_000_000  # e.g. boxes, anchors, images of a batch


@dataclass(frozen=True)
class Rule:
    """The values that a key can have.

    words   text that completes "must be ..."
    each    the same in the plural, completes "a list of ..."
    allows  whether a value is allowed; accepts plain values of every type
    """

    words: str
    each: str
    allows: Callable[[Any], bool]


def number(
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Rule:
    """A finite number from `low` to `high` (inclusive), between `above` and `below` (exclusive)."""

    def allows(value: Any) -> bool:
        return _is_number(value) and _within(value, low, high, above, below)

    span = _span(low, high, above, below)
    return Rule(f"a number{span}", f"numbers{span}", allows)


def whole(low: int, high: int = MAX_COUNT) -> Rule:
    """A whole number; booleans are not allowed."""

    def allows(value: Any) -> bool:
        return type(value) is int and low <= value <= high

    span = f" from {low} to {high}"
    return Rule(f"a whole number{span}", f"whole numbers{span}", allows)


def listed(
    rule: Rule, *, least: int = 1, most: int | None = None, rising: bool = False, more: str = ""
) -> Rule:
    """A list whose items all follow `rule`.

    least, most  smallest and largest number of items
    rising       no item is smaller than the previous one
    more         additional words for messages
    """

    def allows(value: Any) -> bool:
        if not isinstance(value, list | tuple) or not all(map(rule.allows, value)):
            return False
        if len(value) < least or (most is not None and len(value) > most):
            return False
        return not rising or all(a <= b for a, b in pairwise(value))

    count = f"{least} " if least == most else "" if least else "any number of "
    order = ", none smaller than the one before" if rising else ""
    words = f"a list of {count}{rule.each}{order}{more}"
    return Rule(words, f"lists of {count}{rule.each}{order}{more}", allows)


def either(first: Rule, second: Rule) -> Rule:
    """A value that follows at least one of two rules."""
    return Rule(
        f"{first.words}, or {second.words}",
        f"{first.each}, or {second.each}",
        lambda value: first.allows(value) or second.allows(value),
    )


def row(words: str, *rules: Rule) -> Rule:
    """A list with one item for each rule; `words` describe the list."""

    def allows(value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) != len(rules):
            return False
        return all(rule.allows(item) for rule, item in zip(rules, value, strict=True))

    return Rule(f"[{words}]", f"[{words}]", allows)


def text(pattern: str = r"[^\0]*", words: str = "a text") -> Rule:
    """A text that matches a regular expression as a whole."""

    def allows(value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL) is not None

    return Rule(words, "names", allows)


def one_of(*names: str) -> Rule:
    """One of these names."""
    known = ", ".join(name or "''" for name in names)
    return Rule(f"one of {known}", f"names from {known}", lambda value: value in names)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -math.inf < value < math.inf


def _within(
    value: float, low: float | None, high: float | None, above: float | None, below: float | None
) -> bool:
    return (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _span(low: float | None, high: float | None, above: float | None, below: float | None) -> str:
    words: Sequence[tuple[str, float | None]] = (
        (" from ", low),
        (" above ", above),
        (" to ", high),
        (" below ", below),
    )
    given = [f"{word}{_plain(limit)}" for word, limit in words if limit is not None]
    joined = "".join(given)
    if above is not None and high is not None:
        return joined.replace(" to", ", up to")
    return joined.replace(" below", " and below") if len(given) == 2 else joined


def _plain(limit: float) -> str:
    return str(int(limit)) if float(limit).is_integer() else f"{limit:g}"


# Limits and rules that several keys share.

MAX_CLASSES = 10_000
MAX_SIDE = 32_768  # pixels of an image
MAX_WIDTH = 8192  # channels of a layer
MAX_DEPTH = 256  # layers of a part
MAX_ITERATIONS = 1_000_000_000

NORMS = ("", "BN", "SyncBN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N", "FrozenBN", "GN", "LN")
"""The values of NORM keys."""

SWITCH = Rule("True or False", "True or False", lambda value: isinstance(value, bool))
SHARE = number(0, 1)
FACTOR = number(0, 1e6)
POSITIVE = number(above=0, high=1e6)
OPEN_SHARE = number(above=0, below=1)
LABEL = Rule("-1, 0 or 1", "-1, 0 or 1", lambda value: type(value) is int and value in (-1, 0, 1))
NAME = text(r"[^\0]+", "a name")
NAMES = listed(NAME)
ANY_NAMES = listed(NAME, least=0)
IDS = listed(whole(-(2**63), 2**63 - 1), least=0)
NORM = one_of(*NORMS)
BODY_NORM = one_of("FrozenBN", "BN", "SyncBN")
SIDE = whole(1, MAX_SIDE)
LIMIT = whole(1, 1_000_000_000)  # of a side; a large number means no limit
SIDE_OR_AS_IS = whole(0, MAX_SIDE)  # 0: images are not resized
WIDTH = whole(1, MAX_WIDTH)
LAYERS = whole(0, MAX_DEPTH)
COUNT = whole(1)
ITERATIONS = whole(0, MAX_ITERATIONS)
THRESHOLDS = listed(SHARE, rising=True)
FOUR_WEIGHTS = listed(POSITIVE, least=4, most=4, more=" (five are for rotated boxes: not here)")
RESOLUTION = whole(1, 128)
SAMPLES = whole(0, 64)
ALPHA = Rule("a number from 0 to 1, or -1", "", lambda v: SHARE.allows(v) or v == -1)
