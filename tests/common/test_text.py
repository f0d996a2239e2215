import pytest

from common.text import MAX_LINE, counted, first_line, plain, printable, shortened


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "MemoryError"),
        (RuntimeError("\n one\ntwo"), " one"),
        (RuntimeError("   "), "RuntimeError"),
    ],
)
def test_first_line(error: Exception, expected: str) -> None:
    assert first_line(error) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("größe 猫", "größe 猫", id="letters stay"),
        pytest.param("a\nb\tc\x1b[31m\u2028", "a?b?c?[31m?", id="on one line"),
        pytest.param("\udcff", "?", id="undecodable"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert printable(text, instead=" ") == expected.replace("?", " ")


def test_lines_stay_lines_and_long_ones_are_cut() -> None:
    first, second = plain(f"a\x07\n{'x' * (MAX_LINE + 1)}", instead=" ").split("\n")
    assert first == "a "
    assert second == "x" * (MAX_LINE - 20) + " ... (shortened)"
    assert plain("x" * MAX_LINE) == "x" * MAX_LINE


def test_shortened() -> None:
    assert [shortened("12345", length) for length in (5, 4)] == ["12345", "1..."]


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 images"), (1, "1 image"), (2000, "2,000 images")]
)
def test_counted(number: int, expected: str) -> None:
    assert counted(number, "image") == expected
