"""Whole runs with hostile settings end with a terminal record."""

import subprocess
import sys
from pathlib import Path

from hypothesis import strategies as st

from verification.fuzz.attack import attack, keep
from verification.fuzz.parsers import Parser

# In a process of its own: the supervisor takes over signals and children.
RUNS = """
from verification.fuzz.attack import attack
from verification.fuzz.parsers import whole_runs
for parser in whole_runs():
    outcome = attack(parser, inputs=12, seed=5)
    print(outcome.inputs, outcome.failures)
"""


def test_hostile_settings_end_with_a_terminal_record():
    run = subprocess.run(
        [sys.executable, "-c", RUNS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout == "12 {}\n12 {}\n", run.stdout + run.stderr


def test_a_harmful_input_is_counted_and_kept(tmp_path: Path):
    bad = Parser("bad", lambda path: 1 / len(path.read_bytes()), "x", st.sampled_from([b"", b"a"]))
    outcome = attack(bad, inputs=20, seed=1)
    assert list(outcome.failures.values()) == [b""]
    assert "ZeroDivisionError" in next(iter(outcome.failures))
    assert outcome.record()["unexplained"] == 1
    assert [path.read_bytes() for path in keep(outcome, tmp_path)] == [b""]
