"""Outcomes of the tests that the table of faults names, from a run of pytest."""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from verification import REPOSITORY
from verification.reliability.faults import GROUPS


@dataclass(frozen=True)
class Outcome:
    """One test: its place, its outcome (passed, failed, skipped), and the reason."""

    file: str
    function: str
    result: str
    reason: str = ""


def run_tests() -> list[Outcome]:
    """Run every test that the table names."""
    named = {test for faults in GROUPS.values() for fault in faults for test in fault.tests}
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}"]
        command += ["-o", "junit_family=xunit1", *sorted(test for test in named if _exists(test))]
        subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr, check=False)
        return read_junit(junit)


def read_junit(path: Path) -> list[Outcome]:
    """Read the outcomes from pytest's XML (of the family xunit1)."""
    found = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        result, reason = "passed", ""
        for kind in ("failure", "error", "skipped"):
            child = case.find(kind)
            if child is not None:
                result = "skipped" if kind == "skipped" else "failed"
                reason = (child.get("message") or "").splitlines()[0] if child.attrib else ""
        function = str(case.get("name")).partition("[")[0]
        found.append(Outcome(str(case.get("file")), function, result, reason))
    return found


def observed(tests: Iterable[str], outcomes: list[Outcome]) -> str:
    """The outcomes of the tests of one row, in a few words."""
    mine: list[Outcome] = []
    missing = []
    for test in tests:
        found = [outcome for outcome in outcomes if _matches(test, outcome)]
        mine += found
        if not found:
            missing.append(test)
    if missing:
        return f"**not run: {', '.join(missing)}**"
    counts = Counter(outcome.result for outcome in mine)
    failed = sorted({outcome.function for outcome in mine if outcome.result == "failed"})
    if failed:
        return f"**FAILED: {', '.join(failed)}**"
    text = f"as expected ({counts['passed']} tests)" if counts["passed"] else "not tried here"
    if counts["skipped"]:
        reasons = sorted({outcome.reason for outcome in mine if outcome.result == "skipped"})
        text += f"; {counts['skipped']} skipped: {'; '.join(filter(None, reasons))}"
    return text


def _matches(test: str, outcome: Outcome) -> bool:
    file, _, function = test.partition("::")
    inside = outcome.file == file or outcome.file.startswith(f"{file}/")
    return inside and function in ("", outcome.function)


def _exists(test: str) -> bool:
    file, _, function = test.partition("::")
    path = REPOSITORY / file
    return path.exists() and (not function or f"def {function}(" in path.read_text())
