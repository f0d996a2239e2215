"""Find the keypoints that are mirror images of each other by their names.

A side may be a whole word or a camel-case part: `Left Eye`, `eye_l`, `rEye`, `1_left`, `linkes
Auge`. Letters within a word are no side (`tail`, `upright`), unless two names differ only in them
(`lhip` and `rhip`).
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Key = tuple[str, ...]
"""The parts of a name in lower case; a part that means a side is LEFT or RIGHT."""

LEFT, RIGHT = "<", ">"  # parts of names never contain these characters

_WORDS = {
    LEFT: "left lft links linke linken linker linkes gauche izquierda izquierdo izq sinistra"
    " sinistro sinister esquerda esquerdo levý lewy lewa левый левая левое 左",
    RIGHT: "right rgt rechts rechte rechten rechter rechtes droite droit derecha derecho destra"
    " destro dexter direita direito pravý prawy prawa правый правая правое 右",
}
_SIDES = {word: side for side, words in _WORDS.items() for word in words.split()}
_LETTERS = {"l": LEFT, "r": RIGHT, "lt": LEFT, "rt": RIGHT}
_SWAPPED = {LEFT: RIGHT, RIGHT: LEFT}
_GLUED_WORDS = (("left", "right"), ("right", "left"))
_GLUED_LETTERS = (("l", "r"), ("r", "l"))


@dataclass(frozen=True, slots=True)
class Mirror:
    """The mirror images of keypoints.

    indices   index of each keypoint's mirror image; its own index for a point in the middle
    unpaired  names without a partner that mean a side, or may mean one
    """

    indices: tuple[int, ...]
    unpaired: tuple[str, ...] = ()


def mirror_of(names: Sequence[str]) -> Mirror:
    """Derive the mirror images from the names."""
    parts = [_parts(name) for name in names]
    keys = [_sided(own) for own in parts]
    partners: dict[int, int] = {}
    sided = [i for i, key in enumerate(keys) if _is_sided(key)]
    _pair(partners, sided, keys, _other_side)
    # Numbers may differ between the sides: 1_left_eye, 2_right_eye.
    unnumbered = [tuple(part for part in key if not part.isdigit()) for key in keys]
    _pair(partners, sided, unnumbered, _other_side)
    middle = [i for i in range(len(names)) if i not in sided]
    _pair(partners, middle, parts, lambda key: _glued(key, _GLUED_WORDS))
    by_letters = dict(partners)
    _pair(by_letters, middle, parts, lambda key: _glued(key, _GLUED_LETTERS))
    # Beside names such as `left_eye`, the l and r of `lock` and `rock` may not mean sides.
    doubtful = by_letters.keys() - partners.keys() if partners else set()
    partners = partners or by_letters
    return Mirror(
        tuple(partners.get(i, i) for i in range(len(names))),
        tuple(
            name
            for i, name in enumerate(names)
            if i not in partners
            and (_is_sided(keys[i]) or _starts_with_side(parts[i]) or i in doubtful)
        ),
    )


def key_of(name: str) -> Key:
    """The key of a name, independent of its spelling: that of `Left Eye` and `l_eye` is equal."""
    return _sided(_parts(name))


def _pair(
    partners: dict[int, int],
    candidates: Sequence[int],
    keys: Sequence[Key],
    mirrored: Callable[[Key], Iterator[Key]],
) -> None:
    """Add the pairs among the unpaired `candidates` that have exactly one possible partner."""
    places: dict[Key, list[int]] = defaultdict(list)
    for i in candidates:
        if i not in partners:
            places[keys[i]].append(i)
    found = {
        same[0]: {places[key][0] for key in mirrored(own) if len(places.get(key, ())) == 1}
        for own, same in list(places.items())
        if len(same) == 1
    }
    for i, others in found.items():
        for other in others:
            if others == {other} and found.get(other) == {i} and other != i:
                partners[i] = other


def _other_side(key: Key) -> Iterator[Key]:
    yield tuple(_SWAPPED.get(part, part) for part in key)


def _glued(key: Key, swaps: Sequence[tuple[str, str]]) -> Iterator[Key]:
    """Yield the key with the side swapped in one part that begins or ends with a side."""
    for place, part in enumerate(key):
        for one, other in swaps:
            if part != one and part.startswith(one):
                yield (*key[:place], other + part.removeprefix(one), *key[place + 1 :])
            if part != one and part.endswith(one):
                yield (*key[:place], part.removesuffix(one) + other, *key[place + 1 :])


def _is_sided(key: Key) -> bool:
    return LEFT in key or RIGHT in key


def _starts_with_side(parts: Key) -> bool:
    return any(part.startswith(("left", "right")) for part in parts)


def _sided(parts: Key) -> Key:
    """Replace words for sides by LEFT and RIGHT, or single letters if there is no such word."""
    table = _SIDES if any(part in _SIDES for part in parts) else _LETTERS
    return tuple(table.get(part, part) for part in parts)


def _parts(name: str) -> Key:
    """`Left Eye`, `leftEye`, `LEFT-EYE` -> left, eye. A digit belongs to the letters beside it."""
    text = unicodedata.normalize("NFKC", name)
    parts = [""]
    for i, char in enumerate(text):
        if not char.isalnum() and char not in "'\u2019" and not unicodedata.combining(char):
            parts.append("")
            continue
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        starts_word = char.isupper() and (not before.isupper() or after.islower())
        if starts_word or char in "左右" or before in ("左", "右"):
            parts.append("")
        parts[-1] += char
    return tuple(part.casefold() for part in parts if part)
