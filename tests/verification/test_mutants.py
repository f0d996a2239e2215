"""Changes of a file, the selection of tests that could notice them, and the verdict."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from verification import REPOSITORY
from verification.mutants.changes import Change, changes_of
from verification.mutants.report import killed_share, page
from verification.mutants.selection import Selection


def shown(source: str) -> list[str]:
    return [change.shown() for change in changes_of("a.py", source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("x = a < b", ["x = a < b → x = a <= b", "x = a < b → x = a >= b"], id="<"),
        pytest.param("x = a is None", ["x = a is None → x = a is not None"], id="is"),
        pytest.param("x = a + b", ["x = a + b → x = a - b"], id="arithmetic"),
        pytest.param("x += y", ["x += y → x -= y"], id="in place"),
        pytest.param("x = a and b", ["x = a and b → x = a or b"], id="and"),
        pytest.param("x = not a", ["x = not a → x = a"], id="not"),
        pytest.param("x = 3", ["x = 3 → x = 4"], id="whole number"),
        pytest.param("x = 0.5", ["x = 0.5 → x = 1.0"], id="fraction"),
        pytest.param("x = True", ["x = True → x = False"], id="truth"),
        pytest.param("if a: b = c", ["if a: b = c → if not a: b = c"], id="condition"),
        pytest.param("x = min(a)", ["x = min(a) → x = max(a)"], id="another function"),
        pytest.param("x = f(a, b)", ["x = f(a, b) → x = f(b, a)"], id="swapped arguments"),
        pytest.param("x = equal(a, b)", [], id="arguments that may change places"),
        pytest.param("x = f(a, a)", [], id="equal arguments"),
        pytest.param("x = f(a, b=c)", ["x = f(a, b=c) → x = f(a)"], id="an argument less"),
        pytest.param("f()", ["f() → pass"], id="a call less"),
        pytest.param(
            "for a in b:\n    break\n", ["break → continue"], id="a statement of an inner block"
        ),
        pytest.param(
            "raise ValueError(f'{3 + 4}')", ["raise ValueError(f'{3 + 4}') → pass"], id="error"
        ),
        pytest.param("x = 'two' 'words'", [], id="words"),
        pytest.param("x = f'{a + 1}'", [], id="text that is put together"),
        pytest.param("def f(a: int | None) -> list[3]: ...", [], id="annotations"),
        pytest.param("@f(3)\ndef g(): ...", [], id="decorators"),
        pytest.param("assert a < 3", [], id="assertions"),
        pytest.param("x = zip(strict=True)", [], id="zip's assertion"),
        pytest.param("logger.info('%d', a + 1)", [], id="the log"),
    ],
)
def test_changes(source: str, expected: list[str]) -> None:
    assert shown(source) == expected


def test_every_change_of_the_product_is_python_and_has_a_key_of_its_own() -> None:
    path = REPOSITORY / "app/engine/modeling/rpn.py"
    source = path.read_bytes()
    changes = changes_of("rpn.py", source)
    assert len({change.key for change in changes}) == len(changes) > 0
    for change in changes:
        ast.parse(change.applied(source))


SOURCE = """\
LIMIT = 3

def f(x, least=1):
    if (x <
            LIMIT):
        return 2
    return least
"""


def change_at(text: str) -> Change:
    return next(c for c in changes_of("app/a.py", SOURCE.encode()) if text in c.shown())


def selection(tmp_path: Path, runs: dict[int, set[str]], seconds: dict[str, float]) -> Selection:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/a.py").write_text(SOURCE)
    found = Selection(tmp_path / "nothing recorded", tmp_path)
    found.seconds = seconds
    found.runs.update({("app/a.py", line): tests for line, tests in runs.items()})
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("return 3", ["deep"], id="a line"),
        pytest.param("x <=", ["quick", "deep"], id="a statement of two lines, quick tests first"),
        pytest.param("least=2", ["quick", "deep"], id="a default: where the function runs"),
        pytest.param("LIMIT = 4", ["quick", "deep"], id="a constant: where it is read"),
    ],
)
def test_tests_that_could_notice(text: str, expected: list[str], tmp_path: Path) -> None:
    runs = {4: {"quick", "deep", "too long"}, 5: {"quick", "deep"}, 6: {"deep"}, 7: {"quick"}}
    seconds = {"quick": 1.0, "deep": 2.0, "too long": 1000.0}
    assert selection(tmp_path, runs, seconds).tests(change_at(text)) == expected


def test_where_nothing_runs_the_tests_of_the_folder_are_asked(tmp_path: Path) -> None:
    beside, elsewhere = "tests/app/test_processes.py::one", "tests/app/b/test_c.py::two"
    found = selection(tmp_path, {7: {elsewhere}}, {beside: 1.0, elsewhere: 1.0})
    assert found.tests(change_at("return 3")) == [beside]


JUDGE = """
import os, sys
from pathlib import Path
from verification.mutants.changes import changes_of
from verification.mutants.judge import judge, run_tests

os.chdir(sys.argv[1])
source = Path("rule.py").read_bytes()
for change in changes_of("rule.py", source):
    tests = ["test_rule.py::test_small"]
    print(change.shown(), judge(change, tests, {tests[0]: 0.1}).outcome, sep=": ")
assert Path("rule.py").read_bytes() == source
print(run_tests(["test_rule.py::test_forever"], 1))
"""


def test_a_copy_is_judged_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text("def rule(x):\n    return x if x < 5 else 7\n")
    (tmp_path / "test_rule.py").write_text(
        "import rule\ndef test_small(): assert rule.rule(0) == 0\n"
        "def test_forever():\n    while rule: ...\n"
    )
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n")
    command = [sys.executable, "-c", JUDGE, str(tmp_path)]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "return x if x < 5 else 7 → return x if x <= 5 else 7: survived",
        "return x if x < 5 else 7 → return x if x >= 5 else 7: killed",
        "return x if x < 5 else 7 → return x if x < 6 else 7: survived",
        "return x if x < 5 else 7 → return x if x < 5 else 8: survived",
        "('time limit', 'test_rule.py::test_forever')",
    ]


def record(outcome: str, change: str = "x") -> dict[str, object]:
    place = {"seed": 1, "key": change, "file": "executor/env.py", "line": 3, "function": "f"}
    return place | {"change": change, "outcome": outcome}


def test_page(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record("killed"), record("time limit"), record("survived", "a | b")]
    assert killed_share(records) == 2 / 3
    assert "| `executor` | 3 | 1 | 1 | 1 | 0 | 66.7 % |" in page(records)
    assert "## Unnoticed\n" in page(records)
    reasons = {("executor/env.py", "f", "a | b"): "Equivalent: the same."}
    monkeypatch.setattr("verification.mutants.report.ACCEPTED", reasons)
    assert "| `executor` | 3 | 1 | 1 | 1 | 1 | 100.0 % |" in page(records)
    assert "`a \\| b` | Equivalent: the same. |" in page(records)
    assert "## Unnoticed\n" not in page(records)
