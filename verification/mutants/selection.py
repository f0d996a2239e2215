"""Select the tests that could notice a change: those that run its line, the quick ones first."""

import ast
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from coverage import CoverageData

from verification.mutants.changes import Change
from verification.mutants.rooms import PRODUCT

BUDGET_S = 90.0
"""The tests of one change take at most so many seconds together, without a change."""


class Selection:
    """The record that `recorder` wrote to one folder."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self.seconds: dict[str, float] = {}
        for path in folder.glob("times.*.json"):
            self.seconds |= json.loads(path.read_text(encoding="utf-8"))
        self.runs: dict[tuple[str, int], set[str]] = defaultdict(set)
        for path in folder.glob("lines.*"):
            self._add_lines(path)
        self.uses = _uses(tree)

    def _add_lines(self, path: Path) -> None:
        data = CoverageData(str(path))
        data.read()
        for file in data.measured_files():
            for line, tests in data.contexts_by_lineno(file).items():
                self.runs[file, line].update(self.seconds.keys() & tests)

    def tests(self, change: Change) -> list[str]:
        """The tests that run a line of the change's reach; of a definition, a line that uses it.

        A test may also read a definition itself, so the tests of the file that is named after the
        module are added. If none is found, the line may run in a process that a test starts, which
        is not recorded: the result is all tests of the folder that mirrors the change's folder.
        """
        lines = {(change.file, line) for line in (change.line, *change.reach)}
        if not change.reach:
            lines = {place for name in change.names for place in self.uses.get(name, ())}
        found = self._that_ran(lines)
        if not change.reach:
            own = f"/test_{Path(change.file).stem.lstrip('_')}.py::"
            found |= {test for test in self.seconds if own in test}
        if not found:
            mirror = Path("tests", change.file).parent
            found = {test for test in self.seconds if Path(test.split("::")[0]).parent == mirror}
        return self._within_budget(found)

    def _that_ran(self, lines: Iterable[tuple[str, int]]) -> set[str]:
        return set().union(*(self.runs.get(place, ()) for place in lines))

    def _within_budget(self, tests: Iterable[str]) -> list[str]:
        chosen: list[str] = []
        total = 0.0
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            total += self.seconds[test]
            if chosen and total > BUDGET_S:
                break
            chosen.append(test)
        return chosen


def _uses(tree: Path) -> dict[str, set[tuple[str, int]]]:
    """Name -> the lines of the product that read it or give an argument of that name."""
    found: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for path in (path for package in PRODUCT for path in (tree / package).rglob("*.py")):
        file = path.relative_to(tree).as_posix()
        for node in ast.walk(ast.parse(path.read_bytes())):
            match node:
                case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name):
                    found[name].add((file, node.lineno))
                case ast.keyword(arg=str(name)):
                    found[name].add((file, node.value.lineno))
    return found
