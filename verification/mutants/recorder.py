"""A pytest plugin: which lines of the product each test runs, and how long it takes.

Loaded by `-p verification.mutants.recorder`. Each process of the tests writes files of its own into
the folder that MUTANTS_RECORD names: `times.PID.json` and coverage's `lines.PID`.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage

from verification.mutants.rooms import PRODUCT


class Recorder:
    """What one process of pytest has seen."""

    def __init__(self, folder: Path) -> None:
        self.times_file = folder / f"times.{os.getpid()}.json"
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.coverage = Coverage(
            data_file=str(folder / f"lines.{os.getpid()}"),
            include=[f"{package}/*" for package in PRODUCT],
            config_file=False,
        )
        self.coverage.set_option("run:relative_files", True)
        self.coverage.start()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """The lines that run from here on are this test's."""
        self.coverage.switch_context(item.nodeid)
        yield
        self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, test and clearing away, added."""
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        if not report.passed:
            self.failed.add(name)

    def pytest_sessionfinish(self) -> None:
        """Only tests that pass can notice anything."""
        self.coverage.stop()
        self.coverage.save()
        passed = {name: s for name, s in self.seconds.items() if name not in self.failed}
        self.times_file.write_text(json.dumps(passed), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Not in the process of xdist that only hands out tests."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.register(Recorder(Path(os.environ["MUTANTS_RECORD"])))
