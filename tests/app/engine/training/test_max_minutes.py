"""Whole runs of SOLVER.MAX_MINUTES, by a clock that moves a second in every iteration."""

import logging
from pathlib import Path

import pytest
import torch

from app.engine.checkpoint.store import CheckpointStore
from app.engine.config import load_config


class Clock:
    """A second passes in every iteration, when the run asks whether to stop, and at each batch of
    an evaluation."""

    def __init__(self) -> None:
        self.now = 50.0
        self.asked = 0
        self.stop_after = 0

    def __call__(self) -> float:
        return self.now

    def should_stop(self) -> bool:
        self.now += 1.0
        self.asked += 1
        return self.asked == self.stop_after


def timed(tiny, directory: Path, *overrides: str, clock: Clock, **options):
    cfg = tiny.tiny_config(
        *("SOLVER.MAX_ITER", "1000", "SOLVER.STEPS", "(700,)", "SOLVER.WARMUP_ITERS", "10"),
        *("SOLVER.MAX_MINUTES", "1", "TEST.EVAL_PERIOD", "0", "TEST.EVAL_SHARE", "0.25"),
        *overrides,
    )
    options = {"clock": clock, "should_stop": clock.should_stop, **options}
    return tiny.tiny_train(directory, cfg, **options)


def test_a_run_ends_in_its_time_with_its_rate_decayed(tiny, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("app.engine.training.reporting.progress._MIN_PAUSE_S", 0.0)
    caplog.set_level(logging.INFO)
    clock, fractions, models = Clock(), [], []
    summary = timed(
        tiny,
        tmp_path / "run",
        clock=clock,
        progress=fractions.append,
        on_model=models.append,
    )
    assert not summary.stopped
    assert clock.now - 50 == pytest.approx(60, abs=6)
    assert 30 <= summary.iteration <= 55
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert models[-1].name == "last"
    saved = load_config(models[-1].config).SOLVER
    assert summary.iteration == saved.MAX_ITER
    assert saved.STEPS[0] == pytest.approx(0.7 * summary.iteration, abs=1)
    said = [message for message in caplog.messages if "the plan: the training" in message]
    assert len(said) == 1
    assert any("of the schedule were done in" in message for message in caplog.messages)


@pytest.mark.parametrize("stop_after", [1, 9])
def test_a_stopped_run_goes_on_with_the_time_that_is_left(tiny, tmp_path, stop_after):
    first = Clock()
    first.stop_after = stop_after
    summary = timed(tiny, tmp_path / "run", clock=first)
    assert summary.stopped
    second = Clock()
    second.now = 100_000.0  # another machine, another day
    summary = timed(tiny, tmp_path / "run", clock=second)
    assert not summary.stopped
    assert (first.now - 50) + (second.now - 100_000) == pytest.approx(60, abs=6)


def test_a_killed_run_counts_the_time_up_to_its_last_checkpoint(tiny, tmp_path):
    class KilledError(BaseException):
        pass

    first = Clock()

    def should_stop() -> bool:
        first.should_stop()
        if first.asked == 20:
            raise KilledError
        return False

    with pytest.raises(KilledError):
        timed(
            tiny,
            tmp_path / "run",
            "SOLVER.CHECKPOINT_PERIOD",
            "4",
            clock=first,
            should_stop=should_stop,
        )
    state = CheckpointStore(tmp_path / "run/checkpoints").load()
    second = Clock()
    second.now = 100_000.0
    timed(tiny, tmp_path / "run", clock=second)
    assert 0 < state["plan"]["seconds"] <= 20
    assert second.now - 100_000 == pytest.approx(60 - state["plan"]["seconds"], abs=6)


def test_a_run_of_a_number_is_continued_by_minutes_and_the_other_way_round(tiny, tmp_path):
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config(), clock=Clock())
    clock = Clock()
    summary = timed(tiny, tmp_path / "run", clock=clock)
    assert summary.iteration > 30
    again = tiny.tiny_config("SOLVER.MAX_ITER", str(summary.iteration + 2))
    summary_of_number = tiny.tiny_train(tmp_path / "run", again)
    assert summary_of_number.iteration == summary.iteration + 2


def test_a_number_that_ends_first_trains_what_it_trains_without_minutes(tiny, tmp_path):
    numbers = ("SOLVER.MAX_ITER", "10", "SOLVER.STEPS", "(8,)", "SOLVER.WARMUP_ITERS", "3")
    plain = tiny.tiny_train(tmp_path / "plain" / "run", tiny.tiny_config())
    both = timed(tiny, tmp_path / "both" / "run", *numbers, clock=Clock())
    first, second = (
        torch.load(summary.last.weights, weights_only=True)["model"] for summary in (plain, both)
    )
    assert both.iteration == 10
    assert all(torch.equal(first[key], second[key]) for key in first)
