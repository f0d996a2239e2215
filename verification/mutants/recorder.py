"""A pytest plugin that records which lines of the product each test runs, and how long it takes.

It is loaded by `-p verification.mutants.recorder`. Each test process writes two files into the
folder that MUTANTS_RECORD names: `times.PID.json` and coverage's `lines.PID`.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage

from verification.mutants.rooms import PRODUCT


class Recorder:
    """The record of one process of pytest."""

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
        """Assign the lines that run from here on to this test."""
        self.coverage.switch_context(item.nodeid)
        yield
        self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the times of set-up, test and teardown."""
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        if not report.passed:
            self.failed.add(name)

    def pytest_sessionfinish(self) -> None:
        """Write the times of the tests that passed, because only these can notice a change."""
        self.coverage.stop()
        self.coverage.save()
        passed = {name: s for name, s in self.seconds.items() if name not in self.failed}
        self.times_file.write_text(json.dumps(passed), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Start recording, except in the process of xdist that only distributes tests."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.register(Recorder(Path(os.environ["MUTANTS_RECORD"])))
