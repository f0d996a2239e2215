"""A run that is resumed with other settings uses them, or warns that it does not."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from app.engine.checkpoint.store import CheckpointStore
from app.engine.config import load_config
from app.engine.errors import CheckpointError, DivergedError
from app.engine.training.state.settings import is_another_try
from app.engine.training.update.step import Stepper

BEFORE = ("SOLVER.MAX_ITER", "4", "SOLVER.STEPS", "()", "SOLVER.WARMUP_ITERS", "2")
AFTER = ("SOLVER.MAX_ITER", "8", "SOLVER.STEPS", "()", "SOLVER.WARMUP_ITERS", "2")


def state_of(run: Path) -> dict:
    return CheckpointStore(run / "checkpoints").load()


def last_row(run: Path) -> dict:
    rows = [json.loads(line) for line in (run / "metrics.json").read_text().splitlines()]
    return [row for row in rows if "lr" in row][-1]


@pytest.mark.parametrize(
    ("setting", "value", "used"),
    [
        pytest.param("BASE_LR", "0.05", {"lr": 0.05}, id="learning rate"),
        pytest.param("WEIGHT_DECAY", "0.25", {"weight_decay": 0.25}, id="weight decay"),
        pytest.param("MOMENTUM", "0.5", {"momentum": 0.5}, id="momentum"),
        pytest.param("NESTEROV", "True", {"nesterov": True}, id="nesterov"),
        pytest.param("OPTIMIZER", "ADAMW", {"betas": (0.9, 0.999)}, id="optimiser"),
        pytest.param("STEPS", "(6,)", {"lr": 0.001}, id="steps"),
        pytest.param("WARMUP_ITERS", "40", {"lr": 0.0087513}, id="warm-up"),
        pytest.param("LR_SCHEDULER_NAME", "WarmupCosineLR", {"lr": 0.0003806}, id="curve"),
        pytest.param("BIAS_LR_FACTOR", "2.0", {"lr": 0.01}, id="rates of biases, another group"),
        pytest.param("WEIGHT_DECAY_NORM", "0.5", {"lr": 0.01}, id="decay of norms, another group"),
        pytest.param("CLIP_GRADIENTS.ENABLED", "False", {"lr": 0.01}, id="clipping"),
        pytest.param("EMA.ENABLED", "False", {"lr": 0.01}, id="no moving average"),
        pytest.param("EMA.DECAY", "0.5", {"lr": 0.01}, id="another moving average"),
        pytest.param("IMS_PER_BATCH", "4", {"lr": 0.01}, id="batch"),
    ],
)
def test_a_changed_setting_is_used_told_and_stored(
    tiny, tmp_path, monkeypatch, caplog, setting, value, used
):
    caplog.set_level("INFO")
    run = tmp_path / "run"
    tiny.tiny_train(run, tiny.tiny_config(*BEFORE), val_records=[])
    caplog.clear()
    groups = []
    original = Stepper.__call__

    def noted(self, samples):
        groups.append(dict(self.optimizer.param_groups[0]))
        return original(self, samples)

    monkeypatch.setattr(Stepper, "__call__", noted)
    cfg = tiny.tiny_config(*AFTER, f"SOLVER.{setting}", value)
    assert tiny.tiny_train(run, cfg, val_records=[]).iteration == 8
    (told,) = [text for text in caplog.messages if "From here on the run has other" in text]
    assert re.search(rf"SOLVER\.{setting} \S+ \(was ", told)
    assert "SOLVER.MAX_ITER 8 (was 4)" in told
    assert len(groups) == 4
    for key, expected in used.items():
        assert groups[-1][key] == pytest.approx(expected, rel=1e-3)
    if "lr" in used:
        assert last_row(run)["lr"] == pytest.approx(used["lr"], rel=1e-3)
    stored = load_config(run / "last/config.yaml")
    assert str(dict(stored.SOLVER.leaves())[setting]) == str(dict(cfg.SOLVER.leaves())[setting])


def test_unchanged_settings_are_not_told(tiny, tmp_path, caplog):
    caplog.set_level("INFO")
    for _ in range(2):
        tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*BEFORE))
    assert "Resuming" in caplog.text
    assert "other settings" not in caplog.text
    assert "not taken" not in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param("7", "8", "SEED 8 is not taken: .* of SEED 7", id="another"),
        pytest.param("7", "-1", None, id="any"),
        pytest.param("-1", "8", "SEED 8 is not taken", id="a certain one in place of any"),
        pytest.param("7", "7", None, id="the same"),
    ],
)
def test_the_seed_stays_that_of_the_beginning(tiny, tmp_path, caplog, before, after, told):
    run = tmp_path / "run"
    tiny.tiny_train(run, tiny.tiny_config(*BEFORE, "SEED", before), val_records=[])
    seed = state_of(run)["counters"]["seed"]
    tiny.tiny_train(run, tiny.tiny_config(*AFTER, "SEED", after), val_records=[])
    assert state_of(run)["counters"]["seed"] == seed
    stored = load_config(run / "last/config.yaml").SEED
    assert stored == (seed if int(after) >= 0 else -1)
    texts = [text for text in caplog.messages if "SEED" in text]
    assert len(texts) == (told is not None)
    assert not texts or re.search(told + f".*remove {run}", texts[0])


def test_other_weights_to_begin_with_come_too_late(tiny, tmp_path, caplog):
    run = tmp_path / "run"
    tiny.tiny_train(run, tiny.tiny_config(*BEFORE), val_records=[])
    cfg = tiny.tiny_config(*AFTER, "MODEL.WEIGHTS", "better.pth")
    tiny.tiny_train(run, cfg, val_records=[], initial_weights=tmp_path / "better.pth")
    assert "MODEL.WEIGHTS 'better.pth' is not taken: the run began with ''" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "names", "told"),
    [
        pytest.param(
            ["MODEL.FPN.OUT_CHANNELS", "8"],
            None,
            r"another model \(MODEL.FPN.OUT_CHANNELS was 16\); remove it",
            id="model",
        ),
        pytest.param([], ["green", "red"], r"classes \(red, green, not green, red\)", id="order"),
        pytest.param([], ["red", "blue"], r"classes \(red, green, not red, blue\)", id="names"),
        pytest.param(["INPUT.FORMAT", "BGR"], None, "another INPUT.FORMAT", id="channels"),
    ],
)
def test_what_makes_another_model_is_refused(tiny, tmp_path, monkeypatch, overrides, names, told):
    tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*BEFORE), val_records=[])
    monkeypatch.setattr(tiny, "CLASS_NAMES", names or tiny.CLASS_NAMES)
    with pytest.raises(CheckpointError, match=told):
        tiny.tiny_train(tmp_path / "run", tiny.tiny_config(*AFTER, *overrides), val_records=[])


def test_another_training_set_is_told(tiny, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    run, records = tmp_path / "run", tiny.tiny_records(tmp_path / "images", 8)
    for chosen, max_iter in ((records, "2"), (records[::-1], "3"), (records[:6], "4")):
        caplog.clear()
        monkeypatch.setattr(tiny, "tiny_records", lambda *_, chosen=chosen, **__: chosen)
        tiny.tiny_train(run, tiny.tiny_config("SOLVER.MAX_ITER", max_iter), val_records=[])
        told = re.search(
            r"training set (\d) images with \d+ objects .*\(was (\d) images", caplog.text
        )
        assert (told is not None) == (len(chosen) == 6)  # another order is the same set
    assert told.groups() == ("6", "8")


@pytest.mark.parametrize("changed", ["images", "labels", "metric"])
def test_a_model_that_was_measured_otherwise_is_no_rival(tiny, tmp_path, caplog, changed):
    run = tmp_path / "run"
    records = tiny.tiny_records(tmp_path / "validation", 4, seed=1)
    tiny.tiny_train(run, tiny.tiny_config(*BEFORE), val_records=records)
    store = CheckpointStore(run / "checkpoints")
    state = store.load()
    state["counters"] |= {"best_metric": 101.0, "best_iteration": 4, "patience_used": 3}
    store.save(state)
    metric = "bbox/AP75" if changed == "metric" else "bbox/AP50"
    if changed == "images":
        records = records[:3]
    if changed == "labels":
        records[0].boxes[0, 2] += 3
    cfg = tiny.tiny_config(*AFTER, "TEST.METRIC", metric)
    assert tiny.tiny_train(run, cfg, val_records=records).best is not None
    assert "were measured otherwise" in caplog.text


def nan_above(monkeypatch, rate: float) -> None:
    """Losses become NaN at learning rates above `rate`."""
    original = Stepper._backward

    def backward(self, samples):
        losses = original(self, samples)
        lost = self.optimizer.param_groups[0]["lr"] > rate
        return {k: v * math.nan for k, v in losses.items()} if lost else losses

    monkeypatch.setattr(Stepper, "_backward", backward)


def explode_above(monkeypatch, rate: float) -> None:
    """Losses become enormous at learning rates above `rate`, from the second iteration on."""
    original, steps = Stepper._backward, []

    def backward(self, samples):
        steps.append(self)
        losses = original(self, samples)
        first = steps.count(self) == 1
        lost = self.optimizer.param_groups[0]["lr"] > rate and not first
        return {k: v * 1e12 for k, v in losses.items()} if lost else losses

    monkeypatch.setattr(Stepper, "_backward", backward)


FLAT = ("SOLVER.STEPS", "()", "SOLVER.WARMUP_ITERS", "0", "SOLVER.MAX_ITER", "12")


@pytest.mark.parametrize("diverge", [nan_above, explode_above])
def test_a_lower_rate_helps_a_run_that_has_diverged(tiny, tmp_path, monkeypatch, caplog, diverge):
    caplog.set_level("INFO")
    diverge(monkeypatch, 0.002)
    run = tmp_path / "run"
    for _ in range(2):  # the same again fails again
        with pytest.raises(DivergedError, match=r"2 returns .*lower SOLVER.BASE_LR \(0.01\)"):
            tiny.tiny_train(run, tiny.tiny_config(*FLAT), val_records=[])
    caplog.clear()
    summary = tiny.tiny_train(run, tiny.tiny_config(*FLAT, "SOLVER.BASE_LR", "0.001"))
    assert summary.iteration == 12
    assert last_row(run)["lr"] == pytest.approx(0.001)
    assert "Going back" not in caplog.text
    assert math.isfinite(summary.last.metrics["validation_total_loss"])


@pytest.mark.parametrize("diverge", [nan_above, explode_above])
def test_after_another_try_there_are_two_returns_again(
    tiny, tmp_path, monkeypatch, diverge, caplog
):
    caplog.set_level("INFO")
    run, longer = tmp_path / "run", (*FLAT[:-1], "24")
    tiny.tiny_train(run, tiny.tiny_config(*FLAT), val_records=[])
    diverge(monkeypatch, 0.002)
    with pytest.raises(DivergedError):
        tiny.tiny_train(run, tiny.tiny_config(*longer), val_records=[])
    caplog.clear()
    cfg = tiny.tiny_config(*longer, "SOLVER.BASE_LR", "0.006")
    assert tiny.tiny_train(run, cfg, val_records=[]).iteration == 24
    assert "The learning rate is SOLVER.BASE_LR again" in caplog.text
    assert "Going back to iteration 12 with 0.25 times the learning rate (2 of 2)" in caplog.text
    stored = load_config(run / "last/config.yaml").SOLVER
    assert stored.BASE_LR == last_row(run)["lr"] == pytest.approx(0.0015)


def test_halved_rates_stay_while_nothing_else_changes(tiny, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    nan_above(monkeypatch, 0.006)
    run = tmp_path / "run"
    tiny.tiny_train(run, tiny.tiny_config(*FLAT), val_records=[])
    assert "0.5 times the learning rate (1 of 2)" in caplog.text
    caplog.clear()
    longer = (*FLAT[:-1], "16")
    tiny.tiny_train(run, tiny.tiny_config(*longer), val_records=[])
    assert "The learning rate is 0.5 times SOLVER.BASE_LR: the run has gone back" in caplog.text
    assert "Going back" not in caplog.text
    stored = load_config(run / "last/config.yaml").SOLVER
    assert stored.BASE_LR == last_row(run)["lr"] == pytest.approx(0.005)


@pytest.mark.parametrize("rate", ["0.001", "0.01"])
def test_weights_of_a_lost_run_are_not_gone_on_with(tiny, tmp_path, monkeypatch, rate):
    """A checkpoint may come before anybody knows."""
    run = tmp_path / "run"
    with monkeypatch.context() as lost:
        explode_above(lost, 0.002)
        cfg = tiny.tiny_config(*FLAT, "SOLVER.CHECKPOINT_PERIOD", "3")
        with pytest.raises(DivergedError):
            tiny.tiny_train(run, cfg, val_records=[])
    assert state_of(run) is None
    cfg = tiny.tiny_config(*FLAT, "SOLVER.BASE_LR", rate)
    assert tiny.tiny_train(run, cfg, val_records=[]).iteration == 12
    anew = tmp_path / "anew"
    tiny.tiny_train(anew, cfg, val_records=[])
    assert (run / "last/model.pth").read_bytes() == (anew / "last/model.pth").read_bytes()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param(["SOLVER.BASE_LR"], True, id="rate"),
        pytest.param(["SOLVER.CLIP_GRADIENTS.ENABLED"], True, id="clipping"),
        pytest.param(["INPUT.MIN_SIZE_TRAIN"], True, id="size"),
        pytest.param(["training set"], True, id="labels"),
        pytest.param(["validation set", "TEST.METRIC"], False, id="the measure"),
        pytest.param(
            ["SOLVER.MAX_ITER", "SOLVER.STEPS", "SOLVER.WARMUP_ITERS"], False, id="length"
        ),
        pytest.param(["SOLVER.WARMUP_ITERS"], True, id="warm-up alone"),
        pytest.param(["SOLVER.ACCUMULATE"], False, id="parts of a batch"),
    ],
)
def test_what_may_cure_a_divergence(keys, expected):
    assert is_another_try(dict.fromkeys(keys, ("1", "2"))) == expected


def test_a_checkpoint_of_the_first_release(tiny, tmp_path, caplog):
    caplog.set_level("INFO")
    run = tmp_path / "run"
    tiny.tiny_train(run, tiny.tiny_config(*BEFORE), val_records=[])
    store = CheckpointStore(run / "checkpoints")
    state = store.load()
    del state["settings"], state["losses"], state["processes"][0]["damaged"]
    for group in state["optimizer"]["param_groups"]:
        del group["param_names"]
    state["counters"]["num_backoffs"] = 2
    state["schedule"]["base_lrs"] = [lr / 4 for lr in state["schedule"]["base_lrs"]]
    store.save(state)
    cfg = tiny.tiny_config(*AFTER, "SOLVER.BASE_LR", "0.02")
    assert tiny.tiny_train(run, cfg, val_records=[]).iteration == 8
    assert "SOLVER.BASE_LR 0.02 (was 0.01)" in caplog.text
    assert last_row(run)["lr"] == pytest.approx(0.02)


def test_a_checkpoint_that_lists_only_unreadable_images(tiny, tmp_path, caplog):
    """Later checkpoints list the other kinds of damage, too."""
    run = tmp_path / "run"
    tiny.tiny_train(run, tiny.tiny_config(*BEFORE), val_records=[])
    store = CheckpointStore(run / "checkpoints")
    state = store.load()
    state["processes"][0]["damaged"] = ["a.jpg: the image cannot be read"]
    store.save(state)
    assert tiny.tiny_train(run, tiny.tiny_config(*AFTER), val_records=[]).iteration == 8
    assert "1 of 8 images could not be read" in caplog.text
    (process,) = store.load()["processes"]
    assert process["damaged"] == {"unreadable image": ["a.jpg: the image cannot be read"]}


def break_at_the_end(monkeypatch, how) -> None:
    """`how` is done to the model after the tenth step, again and again."""
    original, steps = Stepper.__call__, []

    def step(self, samples):
        losses = original(self, samples)
        steps.append(1)
        if len(steps) >= 10:
            with torch.no_grad():
                how(self.network)
        return losses

    monkeypatch.setattr(Stepper, "__call__", step)


@pytest.mark.parametrize("ema", ["True", "False"])
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda model: model.side.bias.fill_(np.nan), id="weights"),
        pytest.param(lambda model: model.body[1].running_var.fill_(np.inf), id="statistics"),
        pytest.param(lambda model: model.cls_score.weight.fill_(3e37), id="outputs only"),
    ],
)
def test_a_final_model_that_gives_no_numbers_is_not_kept(tiny, tmp_path, monkeypatch, how, ema):
    break_at_the_end(monkeypatch, how)
    models = []
    cfg = tiny.tiny_config("SOLVER.EMA.ENABLED", ema, "SOLVER.EMA.DECAY", "0.0")
    with pytest.raises(DivergedError, match="infinite or NaN"):
        tiny.tiny_train(tmp_path / "run", cfg, on_model=models.append)
    assert {model.iteration for model in models} == {5}  # the earlier one stays
    assert (tmp_path / "run/best/model.pth").exists()


def test_a_model_that_gives_no_numbers_does_not_end_a_run_early(tiny, tmp_path, monkeypatch):
    break_at_the_end(monkeypatch, lambda model: model.cls_score.weight.fill_(3e37))
    cfg = tiny.tiny_config("SOLVER.MAX_ITER", "20", "TEST.PATIENCE", "1", "SOLVER.EMA.DECAY", "0.0")
    with pytest.raises(DivergedError, match="after iteration 10 are infinite or NaN"):
        tiny.tiny_train(tmp_path / "run", cfg)


def test_a_run_that_ends_early_is_looked_at_as_well(tiny, tmp_path, monkeypatch):
    explode_above(monkeypatch, 0.0)
    cfg = tiny.tiny_config(
        "TEST.EVAL_PERIOD", "2", "TEST.PATIENCE", "2", "TEST.METRIC", "bbox/AP75"
    )
    names = []
    with pytest.raises(DivergedError, match="times that of the beginning"):
        tiny.tiny_train(tmp_path / "run", cfg, on_model=lambda model: names.append(model.name))
    assert "last" not in names[1:]
