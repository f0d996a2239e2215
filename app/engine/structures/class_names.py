"""Match the class names of a data set or of weights to the requested class names.

Exact matches are preferred. Invisible differences are ignored: the two Unicode forms of an accented
letter, zero-width characters, blanks. Names that differ in case match only if that is unambiguous:
`A` and `a` are two classes if both are requested or both are used.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

UNKNOWN_CLASS = "unknown class (dropped)"
OTHER_CASE = "class name in another case (taken as the asked-for class)"
OTHER_CHARACTERS = "class name with other invisible characters (taken as the asked-for class)"


@dataclass(frozen=True, slots=True)
class Match:
    """The match of one name.

    class_id  position in the requested classes; None if there is no match
    kind      problem to count for each object of this name, with `example`; "" for none
    """

    class_id: int | None
    kind: str = ""
    example: str = ""


def match_names(asked: Sequence[str], used: Iterable[str]) -> dict[str, Match]:
    """The match of each name of `used`; of equal names in `asked` the first is used."""
    used = set(used)
    exact, plain = _positions(asked), _positions(map(plain_name, asked))
    by_case, spellings = defaultdict(set), defaultdict(set)
    for name, class_id in plain.items():
        by_case[folded_name(name)].add(class_id)
    for name in map(plain_name, used):
        spellings[folded_name(name)].add(name)
    matches = {}
    for name in used:
        short = plain_name(name)
        same_but_case = by_case.get(folded_name(short), set())
        if name.strip() in exact:
            matches[name] = Match(exact[name.strip()])
        elif short in plain:
            class_id = plain[short]
            matches[name] = Match(class_id, OTHER_CHARACTERS, _both(name, asked[class_id]))
        elif len(same_but_case) == 1 and len(spellings[folded_name(short)]) == 1:
            (class_id,) = same_but_case
            matches[name] = Match(class_id, OTHER_CASE, f"{short}, asked for: {asked[class_id]}")
        else:
            hint = _hint(short, asked, [asked[i] for i in sorted(same_but_case)])
            matches[name] = Match(None, UNKNOWN_CLASS, f"{short or '(no name)'}{hint}")
    return matches


def plain_name(name: str) -> str:
    """The name without invisible differences: in Unicode form NFC, without zero-width characters,
    with single blanks.
    """
    if name.isascii() and name.isprintable() and "  " not in name:
        return name.strip()  # fast path for nearly all names
    seen = "".join(char for char in name if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", " ".join(seen.split()))


def folded_name(name: str) -> str:
    """`plain_name` with its case folded."""
    return unicodedata.normalize("NFC", plain_name(name).casefold())


def _positions(names: Iterable[str]) -> dict[str, int]:
    positions: dict[str, int] = {}
    for index, name in enumerate(names):
        positions.setdefault(name.strip(), index)
    return positions


def _hint(name: str, asked: Sequence[str], same_but_case: Sequence[str]) -> str:
    """The reason why a name that looks like a requested one does not match; "" for other names."""
    if same_but_case:
        return (
            f" (asked for: {', '.join(same_but_case)}; names that differ in case are two classes"
            " where both are used or asked for)"
        )
    alike = next((other for other in asked if _looks_alike(name, plain_name(other))), None)
    return "" if alike is None else f" (not the class asked for: {_both(name, alike)})"


def _looks_alike(name: str, other: str) -> bool:
    """Whether two names differ only in the width or alphabet of letters (a Cyrillic a)."""
    if name.isascii() and other.isascii():
        return False
    if folded_name(unicodedata.normalize("NFKC", name)) == folded_name(
        unicodedata.normalize("NFKC", other)
    ):
        return True
    pairs = list(zip(name, other, strict=False))
    same = [a == b for a, b in pairs]
    foreign = [a.isascii() != b.isascii() for a, b in pairs]
    return len(name) == len(other) and any(same) and all(map(max, same, foreign))


def _both(name: str, other: str) -> str:
    """Two names with the codes of their characters beyond ASCII, which may look the same."""
    return f"{name!a} in the file, asked for: {other!a}"
