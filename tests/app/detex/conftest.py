"""Run `detex` in separate processes, because it takes over signals, folders and descriptors."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
Detex = Callable[..., Done]

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def detex() -> Detex:
    """Runs `detex` with these words; its output as text."""

    def run(*words: str, cwd: Path | None = None, **variables: str) -> Done:
        return subprocess.run(
            [sys.executable, "-c", "from app.detex.__main__ import main; main()", *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
