"""The progress of a run."""

import time

import pytest

from app.engine.training.reporting.progress import ProgressMeter


class TestProgress:
    def meter(self, reports, **options):
        settings = {"max_iter": 10, "evaluations": [5, 10], "evaluation_cost": 5.0}
        return ProgressMeter(reports.append, **(settings | options))

    def test_evaluations_count(self, monkeypatch):
        monkeypatch.setattr("app.engine.training.reporting.progress._MIN_PAUSE_S", 0.0)
        reports = []
        meter = self.meter(reports)
        meter.iterations(5)
        meter.evaluation(5, 0.5)
        meter.evaluation(5, 1.0)
        meter.iterations(6)
        meter.iterations(10)
        meter.evaluation(10, 1.0)
        assert reports == pytest.approx([0.25, 0.375, 0.5, 0.55, 0.75, 1.0])

    def test_never_back(self, monkeypatch):
        monkeypatch.setattr("app.engine.training.reporting.progress._MIN_PAUSE_S", 0.0)
        reports = []
        meter = self.meter(reports)
        meter.iterations(8)
        meter.iterations(2)
        assert reports[1] == reports[0]

    def test_ticks_while_nothing_else_happens(self, monkeypatch):
        monkeypatch.setattr("app.engine.training.reporting.progress._MIN_PAUSE_S", 0.0)
        monkeypatch.setattr("app.engine.training.reporting.progress._TICK_S", 0.01)
        reports = []
        meter = self.meter(reports)
        with meter.ticking():
            while len(reports) < 3:
                time.sleep(0.005)
        assert len(reports) >= 3

    def test_nothing_to_evaluate_and_early_end(self):
        reports = []
        meter = self.meter(reports, evaluations=[], evaluation_cost=0.0)
        meter.iterations(3)
        meter.done()
        assert reports[-1] == 1.0
