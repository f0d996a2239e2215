"""Whole runs: to the end, interrupted and resumed, diverging, failing to evaluate."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from app.engine.checkpoint.store import CheckpointStore
from app.engine.config import load_config
from app.engine.cpu import winograd_training
from app.engine.cpu.winograd_training import convolve_by_tiles
from app.engine.errors import CheckpointError, ConfigError, DivergedError, EngineError
from app.engine.training.update.step import Stepper
from app.engine.training.validation import validator

PROGRAM = Path(__file__).with_name("tiny_run.py")
ROOT = Path(__file__).parents[4]


def weights(directory: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(directory / name / "model.pth", weights_only=True)["model"]


def assert_bit_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [key for key in first if not torch.equal(first[key], second[key])]
    assert not different


@pytest.fixture(scope="module")
def whole_run(tiny, tmp_path_factory):
    """One uninterrupted run: (folder, summary, models told of, fractions reported)."""
    directory = tmp_path_factory.mktemp("whole")
    models, fractions = [], []
    summary = tiny.tiny_train(
        directory / "run",
        tiny.tiny_config("VIS_PERIOD", "5"),
        on_model=models.append,
        progress=fractions.append,
        tensorboard_dir=directory / "board",
    )
    return directory, summary, models, fractions


def test_models_are_self_sufficient(whole_run):
    _, summary, models, _ = whole_run
    assert [model.name for model in models][-1] == "last"
    assert summary.last == models[-1]
    assert summary.best.name == "best"
    assert summary.iteration == 10
    assert not summary.stopped
    for model in models:
        cfg = load_config(model.config)
        assert cfg.MODEL.CLASS_NAMES == ["red", "green"]
        assert (model.config.parent / cfg.MODEL.WEIGHTS) == model.weights
        assert cfg.SOLVER.MAX_ITER == 10
    assert "bbox/AP50" in summary.last.metrics
    assert "validation_total_loss" in summary.last.metrics


def test_progress_rises_to_one(whole_run):
    *_, fractions = whole_run
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_metrics_file_and_tensorboard(whole_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    directory, *_ = whole_run
    rows = [json.loads(line) for line in (directory / "run/metrics.json").read_text().splitlines()]
    assert rows[-1]["iteration"] == 9
    merged = {key for row in rows for key in row}
    assert {"total_loss", "loss_cls", "lr", "bbox/AP", "validation_loss_cls"} <= merged
    events = EventAccumulator(str(directory / "board"))
    events.Reload()
    assert {"training/batch", "validation/detections"} <= set(events.Tags()["images"])
    assert "lr" in events.Tags()["scalars"]


def test_same_seed_same_weights_whatever_the_number_of_workers(tiny, whole_run, tmp_path):
    directory, *_ = whole_run
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config(), num_workers=1)
    assert_bit_equal(weights(tmp_path / "run"), weights(directory / "run"))


def test_evaluations_do_not_disturb_training(tiny, whole_run, tmp_path):
    directory, *_ = whole_run
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config(), val_records=[])
    assert_bit_equal(weights(tmp_path / "run"), weights(directory / "run"))
    assert not (tmp_path / "run/best").exists()


@pytest.mark.parametrize("stop_after", [3, 5])
def test_stopped_and_resumed_equals_uninterrupted(tiny, whole_run, tmp_path, stop_after):
    directory, *_ = whole_run
    polls = iter(range(1, 99))
    models = []
    summary = tiny.tiny_train(
        tmp_path / "run",
        tiny.tiny_config(),
        should_stop=lambda: next(polls) >= stop_after,
        on_model=models.append,
    )
    assert (summary.stopped, summary.iteration) == (True, stop_after)
    assert [(model.name, model.iteration) for model in models] == [("last", stop_after)]
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config())
    assert_bit_equal(weights(tmp_path / "run"), weights(directory / "run"))
    assert_bit_equal(weights(tmp_path / "run", "best"), weights(directory / "run", "best"))


def test_stopped_in_an_evaluation_makes_it_again(tiny, whole_run, tmp_path, monkeypatch):
    monkeypatch.setattr("app.engine.training.reporting.progress._MIN_PAUSE_S", 0.0)
    directory, *_ = whole_run
    asked, models = [], []

    def progress(fraction: float) -> None:
        if fraction > 0.45:  # five iterations are 0.42: this is their evaluation
            asked.append(1)

    summary = tiny.tiny_train(
        tmp_path / "run",
        tiny.tiny_config(),
        progress=progress,
        should_stop=lambda: bool(asked),
        on_model=models.append,
    )
    assert (summary.stopped, summary.iteration) == (True, 5)
    assert [(model.name, model.iteration) for model in models] == [("last", 5)]
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config())
    assert_bit_equal(weights(tmp_path / "run"), weights(directory / "run"))
    assert_bit_equal(weights(tmp_path / "run", "best"), weights(directory / "run", "best"))


def test_a_run_that_is_stopped_after_its_best_keeps_that(tiny, tmp_path):
    names = []
    summary = tiny.tiny_train(
        tmp_path / "run",
        tiny.tiny_config(),
        should_stop=lambda: "best" in names,
        on_model=lambda model: names.append(model.name),
    )
    assert (summary.stopped, summary.iteration) == (True, 6)
    assert names == ["last", "best"]


def test_a_run_that_may_be_killed_keeps_a_model_at_its_first_checkpoint(tiny, tmp_path):
    models = []
    cfg = tiny.tiny_config("SOLVER.CHECKPOINT_PERIOD", "2")
    tiny.tiny_train(tmp_path / "run", cfg, on_model=models.append, val_records=[])
    assert [(model.name, model.iteration) for model in models] == [("last", 2), ("last", 10)]


def test_finished_run_started_again_only_reports(tiny, tmp_path, monkeypatch):
    cfg = tiny.tiny_config("SOLVER.MAX_ITER", "2")
    tiny.tiny_train(tmp_path / "run", cfg)
    steps = []
    monkeypatch.setattr(Stepper, "__call__", lambda self, samples: steps.append(1))
    assert tiny.tiny_train(tmp_path / "run", cfg).last.metrics
    assert not steps


def start(directory: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(directory)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.parametrize(
    "kills",
    [pytest.param(1, id="once"), pytest.param(12, id="often", marks=pytest.mark.slow)],
)
def test_killed_at_random_instants_equals_uninterrupted(tiny, whole_run, tmp_path, kills):
    directory, *_ = whole_run
    rng, reached = random.Random(kills), []
    for _ in range(kills):
        process = start(tmp_path / "run")
        manifest = tmp_path / "run/checkpoints/manifest.json"
        while not manifest.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.8))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        state = CheckpointStore(tmp_path / "run/checkpoints").load()
        reached.append(state["counters"]["iteration"])
        for path in (tmp_path / "run").glob("*/model.pth"):
            torch.load(path, weights_only=True)
    assert reached == sorted(reached)
    assert reached[0] < 10
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config())
    assert_bit_equal(weights(tmp_path / "run"), weights(directory / "run"))
    assert_bit_equal(weights(tmp_path / "run", "best"), weights(directory / "run", "best"))


def poison(monkeypatch, when):
    """Losses become NaN in the iterations for which `when(number of the call)`."""
    calls = []
    original = Stepper._backward

    def backward(self, samples):
        calls.append(1)
        losses = original(self, samples)
        return {k: v * math.nan for k, v in losses.items()} if when(len(calls)) else losses

    monkeypatch.setattr(Stepper, "_backward", backward)
    return calls


def test_divergence_goes_back_with_half_the_learning_rate(tiny, tmp_path, monkeypatch, caplog):
    calls = poison(monkeypatch, lambda n: n == 8)
    cfg = tiny.tiny_config("SOLVER.CHECKPOINT_PERIOD", "4", "SOLVER.STEPS", "()")
    summary = tiny.tiny_train(tmp_path / "run", cfg)
    assert summary.iteration == 10
    assert len(calls) == 8 + (10 - 5)  # found by the evaluation's look, back to iteration 5
    assert "Going back to iteration 5 with 0.5 times the learning rate" in caplog.text
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.json").read_text().splitlines()]
    assert rows[-2]["lr"] == pytest.approx(0.005)


def test_a_second_divergence_halves_the_rate_again(tiny, tmp_path, monkeypatch, caplog):
    cfg = tiny.tiny_config("SOLVER.STEPS", "()", "SOLVER.WARMUP_ITERS", "0")
    poison(monkeypatch, lambda n: n in (8, 12))
    tiny.tiny_train(tmp_path / "run", cfg, val_records=[])
    told = [line for line in caplog.messages if "Going back" in line]
    assert ["0.5 times" in told[0], "0.25 times" in told[1]] == [True, True]
    assert ["(1 of 2)" in told[0], "(2 of 2)" in told[1], len(told)] == [True, True, 2]
    rows = (tmp_path / "run/metrics.json").read_text().splitlines()
    assert json.loads(rows[-1])["lr"] == pytest.approx(0.0025)


def test_a_run_that_is_killed_after_its_return_knows_of_it(tiny, tmp_path, monkeypatch):
    class KilledError(BaseException):
        pass

    def kill(number):
        if number == 9:
            raise KilledError
        return number == 8

    poison(monkeypatch, kill)
    cfg = tiny.tiny_config("SOLVER.CHECKPOINT_PERIOD", "4")
    with pytest.raises(KilledError):
        tiny.tiny_train(tmp_path / "run", cfg, val_records=[])
    state = CheckpointStore(tmp_path / "run/checkpoints").load()
    assert (state["counters"]["iteration"], state["counters"]["num_backoffs"]) == (4, 1)


def test_lasting_divergence_is_an_error_in_detectron2s_words(tiny, tmp_path, monkeypatch):
    poison(monkeypatch, lambda n: n >= 3)
    with pytest.raises(DivergedError, match=r"infinite or NaN at iteration=\d! loss_dict = .*half"):
        tiny.tiny_train(tmp_path / "run", tiny.tiny_config())


def test_weights_that_are_not_finite_are_never_saved(tiny, tmp_path, monkeypatch, caplog):
    original, calls = Stepper.__call__, []

    def step(self, samples):
        calls.append(1)
        losses = original(self, samples)
        if len(calls) == 4:
            with torch.no_grad():
                next(p for p in self.network.parameters() if p.requires_grad).fill_(math.inf)
        return losses

    monkeypatch.setattr(Stepper, "__call__", step)
    cfg = tiny.tiny_config("SOLVER.CHECKPOINT_PERIOD", "1")
    assert tiny.tiny_train(tmp_path / "run", cfg).iteration == 10
    assert "Weights became infinite or NaN" in caplog.text


def test_patience_ends_the_run_early(tiny, tmp_path):
    cfg = tiny.tiny_config("TEST.EVAL_PERIOD", "2", "TEST.PATIENCE", "2", "SOLVER.BASE_LR", "0.0")
    summary = tiny.tiny_train(tmp_path / "run", cfg)
    assert summary.iteration == 6
    assert (summary.best.iteration, summary.last.iteration) == (2, 6)


def test_failing_evaluation_is_a_warning(tiny, tmp_path, monkeypatch, caplog):
    def broken(*args, **options):
        raise RuntimeError("the disk ate the images")

    monkeypatch.setattr(validator, "run_inference", broken)
    summary = tiny.tiny_train(tmp_path / "run", tiny.tiny_config())
    assert summary.last.metrics == {}
    assert "the disk ate the images" in caplog.text
    assert "training goes on" in caplog.text


def test_full_disk_costs_the_checkpoint_not_the_run(tiny, tmp_path, monkeypatch, caplog):
    def full(self, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CheckpointStore, "save", full)
    assert tiny.tiny_train(tmp_path / "run", tiny.tiny_config()).last is not None
    assert "look after the storage" in caplog.text


def test_expected_results_are_checked_at_the_end(tiny, tmp_path):
    cfg = tiny.tiny_config("TEST.EXPECTED_RESULTS", "[['bbox', 'AP', 99.0, 0.5]]")
    with pytest.raises(EngineError, match="EXPECTED_RESULTS"):
        tiny.tiny_train(tmp_path / "run", cfg)
    assert (tmp_path / "run/last/model.pth").exists()


def test_checkpoint_of_another_model_is_refused(tiny, tmp_path):
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config("SOLVER.MAX_ITER", "1"), val_records=[])
    with pytest.raises(CheckpointError, match=r"another model .*; remove it or write elsewhere"):
        tiny.tiny_train(tmp_path / "run", tiny.tiny_config("MODEL.FPN.OUT_CHANNELS", "8"))


def test_a_broken_validation_image_is_told_once(tiny, tmp_path, caplog):
    records = tiny.tiny_records(tmp_path / "validation", 3)
    records[1].path.write_bytes(b"no image")
    cfg = tiny.tiny_config("SOLVER.MAX_ITER", "2", "TEST.EVAL_PERIOD", "1")
    tiny.tiny_train(tmp_path / "run", cfg, val_records=records)
    assert len([text for text in caplog.messages if str(records[1].path) in text]) == 1


def test_a_run_that_is_taken_up_is_told(tiny, tmp_path, caplog):
    caplog.set_level("INFO")
    for max_iter in ("1", "2", "1"):
        cfg = tiny.tiny_config("SOLVER.MAX_ITER", max_iter)
        tiny.tiny_train(tmp_path / "run", cfg, val_records=[])
    told = [text for text in caplog.messages if "Resuming" in text or "Nothing" in text]
    run = tmp_path / "run"
    assert told == [
        f"Resuming from {run} after iteration 1",
        f"Resuming from {run} after iteration 2",
        f"Nothing is left to train; remove {run} to train anew",
    ]


def test_resume_with_another_batch_size_goes_on_in_the_data(tiny, tmp_path, caplog):
    caplog.set_level("INFO")
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config("SOLVER.MAX_ITER", "4"), val_records=[])
    cfg = tiny.tiny_config("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "6")
    summary = tiny.tiny_train(tmp_path / "run", cfg, val_records=[])
    assert summary.iteration == 6
    assert "SOLVER.IMS_PER_BATCH 4 (was 2)" in caplog.text
    state = CheckpointStore(tmp_path / "run/checkpoints").load()
    assert state["counters"]["images"] == 4 * 2 + 2 * 4


def test_resume_with_fewer_processes(tiny, tmp_path, caplog):
    caplog.set_level("INFO")
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config("SOLVER.MAX_ITER", "2"), val_records=[])
    store = CheckpointStore(tmp_path / "run/checkpoints")
    state = store.load()
    store.save({**state, "processes": state["processes"] * 2})
    cfg = tiny.tiny_config("SOLVER.MAX_ITER", "3")
    assert tiny.tiny_train(tmp_path / "run", cfg, val_records=[]).iteration == 3
    assert "resuming with 1 processes, not 2" in caplog.text


def test_one_image_and_a_larger_batch(tiny, tmp_path, monkeypatch):
    one = tiny.tiny_records(tmp_path / "images", 1)
    monkeypatch.setattr(tiny, "tiny_records", lambda *_, **__: one)
    cfg = tiny.tiny_config("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "2")
    assert tiny.tiny_train(tmp_path / "run", cfg).last is not None


def test_metric_without_value_is_said(tiny, tmp_path, caplog):
    cfg = tiny.tiny_config("TEST.METRIC", "bbox/APl", "SOLVER.MAX_ITER", "1")
    summary = tiny.tiny_train(tmp_path / "run", cfg)
    assert summary.best is None
    assert "TEST.METRIC bbox/APl has no value" in caplog.text


def test_precise_statistics(tiny, tmp_path, caplog):
    caplog.set_level("INFO")
    cfg = tiny.tiny_config(
        "TEST.PRECISE_BN.ENABLED",
        "True",
        "TEST.PRECISE_BN.NUM_ITER",
        "2",
        "SOLVER.MAX_ITER",
        "2",
    )
    assert tiny.tiny_train(tmp_path / "run", cfg).last is not None
    assert "Running precise-BN for 2 iterations" in caplog.text


def test_real_model_in_mixed_precision(tiny, tmp_path):
    cfg = tiny.tiny_config(
        "MODEL.META_ARCHITECTURE",
        "RetinaNet",
        "SOLVER.MAX_ITER",
        "2",
        "SOLVER.AMP.ENABLED",
        "True",
    )
    assert math.isfinite(tiny.tiny_train(tmp_path / "run", cfg).last.metrics["validation_loss_cls"])


@pytest.mark.parametrize("by_tiles", [True, False])
def test_wide_convolutions_train_by_tiles_unless_that_is_switched_off(
    tiny, tmp_path, monkeypatch, by_tiles
):
    widths = set()

    def noted(x, weight, bias):
        widths.add(weight.shape[0])
        return convolve_by_tiles(x, weight, bias)

    monkeypatch.setattr(winograd_training, "has_many_tiles", lambda x: True)
    monkeypatch.setattr(winograd_training, "convolve_by_tiles", noted)
    cfg = tiny.tiny_config(
        "MODEL.META_ARCHITECTURE",
        "RetinaNet",
        "SOLVER.MAX_ITER",
        "1",
        "MODEL.FPN.OUT_CHANNELS",
        "64",
        "SOLVER.WINOGRAD",
        str(by_tiles),
    )
    assert tiny.tiny_train(tmp_path / "run", cfg).last is not None
    assert (64 in widths) == by_tiles


def test_settings_that_no_evaluation_could_use_end_the_run_at_once(tiny, tmp_path):
    cfg = tiny.tiny_config(
        *("MODEL.META_ARCHITECTURE", "SemanticSegmentor"),
        *("MODEL.SEM_SEG_HEAD.IN_FEATURES", "['p3']"),
        *("MODEL.SEM_SEG_HEAD.COMMON_STRIDE", "8"),
    )
    with pytest.raises(EngineError):
        tiny.tiny_train(tmp_path / "run", cfg)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_on_a_gpu(tiny, tmp_path, caplog, dtype):
    caplog.set_level("INFO")
    cfg = tiny.tiny_config(
        "MODEL.META_ARCHITECTURE",
        "RetinaNet",
        "SOLVER.AMP.ENABLED",
        "True",
        "SOLVER.AMP.DTYPE",
        dtype,
        "SOLVER.MAX_ITER",
        "6",
    )
    polls = iter(range(1, 99))
    options = {"devices": ["cuda:0"], "should_stop": lambda: next(polls) >= 3}
    assert tiny.tiny_train(tmp_path / "run", cfg, **options).stopped
    summary = tiny.tiny_train(tmp_path / "run", cfg, devices=["cuda:0"])
    assert math.isfinite(summary.last.metrics["validation_loss_cls"])
    assert "max_mem: " in caplog.text


def test_more_gpus_than_there_are(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="GPU 0 was asked for but 0"):
        tiny.tiny_train(tmp_path / "run", tiny.tiny_config(), devices=["cuda:0"])
