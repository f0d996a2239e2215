"""The requested class that a name in the data means."""

import pytest

from app.engine.data.formats import Reading
from app.engine.data.formats._class_finder import ClassFinder
from app.engine.data.problems import Effect, Problems
from app.engine.structures.class_names import (
    OTHER_CASE,
    OTHER_CHARACTERS,
    UNKNOWN_CLASS,
    match_names,
)

NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        pytest.param(["cat", "dog"], {"dog": 1, "cow": None, "": None}, id="exact"),
        pytest.param(["A", "a"], {"A": 0, "a": 1}, id="two classes that differ in case"),
        pytest.param(["A"], {"a": 0}, id="another case"),
        pytest.param(["A"], {"A": 0, "a": None}, id="both cases used, one asked for"),
        pytest.param(["A", "a"], {" a ": 1}, id="both asked for, one used"),
        pytest.param(["Cat", "cat"], {"CAT": None}, id="two asked-for names in another case"),
        pytest.param(["Cat"], {"CAT": None, "cat": None}, id="two used names in another case"),
        pytest.param(["stra\u00dfe"], {"STRASSE": 0}, id="case of more than one letter"),
        pytest.param([NFC], {NFD: 0}, id="file decomposed"),
        pytest.param([NFD], {NFC: 0}, id="setting decomposed"),
        pytest.param([NFC], {NFD.upper(): 0}, id="decomposed, in another case"),
        pytest.param([NFC], {NFC: 0, NFD: 0}, id="both Unicode forms"),
        pytest.param(["cat"], {" cat\n": 0}, id="blanks around"),
        pytest.param(["traffic light"], {"traffic\n\t  light": 0}, id="blanks inside"),
        pytest.param(["traffic light"], {"traffic\u00a0light": 0}, id="no-break space"),
        pytest.param(["cat"], {"c\u200bat\ufeff": 0}, id="zero-width characters"),
        pytest.param(["\u732b", "\u72ac"], {"\u72ac": 1, "\u9e1f": None}, id="Chinese"),
        pytest.param(["x", "x"], {"x": 0}, id="asked for twice"),
        pytest.param([], {"x": None}, id="nothing asked for"),
        pytest.param(["x"], {}, id="nothing used"),
    ],
)
def test_matches(asked: list[str], used: dict[str, int | None]) -> None:
    matches = match_names(asked, used)
    assert {name: match.class_id for name, match in matches.items()} == used


@pytest.mark.parametrize(
    ("asked", "used", "kind", "words"),
    [
        pytest.param(["cat"], "cat", "", "", id="exact"),
        pytest.param(["cat"], " cat ", "", "", id="blanks around"),
        pytest.param(["Cat"], "cat", OTHER_CASE, "cat, asked for: Cat", id="case"),
        pytest.param([NFC], NFD, OTHER_CHARACTERS, r"'cafe\u0301' in the file", id="decomposed"),
        pytest.param(["cat"], "c\u200bat", OTHER_CHARACTERS, r"'c\u200bat'", id="zero width"),
        pytest.param(["cat"], "cow", UNKNOWN_CLASS, "cow", id="unknown"),
        pytest.param(["cat"], "  ", UNKNOWN_CLASS, "(no name)", id="no name"),
        pytest.param(["cat"], "c\u0430t", UNKNOWN_CLASS, r"'c\u0430t' in the file", id="Cyrillic"),
        pytest.param(["cat"], "\uff43\uff41\uff54", UNKNOWN_CLASS, r"\uff43", id="full width"),
        pytest.param(["A", "a"], "\u0430", UNKNOWN_CLASS, "\u0430", id="nothing in common"),
    ],
)
def test_what_is_told(asked: list[str], used: str, kind: str, words: str) -> None:
    match = match_names(asked, [used])[used]
    assert match.kind == kind
    assert words in match.example


def test_two_classes_by_case_are_told() -> None:
    match = match_names(["A"], ["A", "a"])["a"]
    assert match.kind == UNKNOWN_CLASS
    assert "asked for: A" in match.example


def test_every_object_is_counted() -> None:
    problems = Problems()
    finder = ClassFinder(Reading(["Cat", "dog"], problems=problems), ["cat", "dog", "cow"])
    assert [finder.find(name) for name in ("cat", "dog", "cow", "cat")] == [0, 1, None, 0]
    assert problems.with_effect(Effect.CHANGED) == {OTHER_CASE: 2}
    assert problems.with_effect(Effect.DROPPED) == {UNKNOWN_CLASS: 1}
