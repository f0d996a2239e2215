"""Two processes on the CPU train as one does, and when one of them ends, both end."""

import multiprocessing
import os
import signal
import time
from itertools import count

import pytest
import torch

from app.engine.errors import ConfigError, DatasetError, RankError
from app.engine.training.process.launch import launch
from app.engine.training.process.ranks import Ranks, delay_gradients

CPU = torch.device("cpu")
BATCH = [1.0, 2.0, 3.0, 4.0]


class Linear(torch.nn.Module):
    """Loss: mean of (weight * value - 1)^2 over a list of numbers."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, values):
        return {"loss": ((self.weight * torch.tensor(values) - 1) ** 2).mean()}


def together(work, argument=None, others_argument=None, *, number=2, timeout_s=60.0):
    others_argument = argument if others_argument is None else others_argument
    return launch(
        work, argument, others_argument=others_argument, devices=[CPU] * number, timeout_s=timeout_s
    )


def average_gradient(ranks: Ranks, parts: int) -> tuple[float, float]:
    model = Linear()
    network = ranks.wrap(model)
    mine = BATCH[ranks.rank :: ranks.world_size]
    size = len(mine) // parts
    total = 0.0
    for part in range(parts):
        with delay_gradients(network, part < parts - 1):
            loss = network(mine[part * size : (part + 1) * size])["loss"] / parts
            loss.backward()
        total += loss.item()
    return ranks.mean([total])[0], model.weight.grad.item()


def exchange(ranks: Ranks, job: None) -> tuple:
    return (
        ranks.gather({"rank": ranks.rank}),
        ranks.broadcast(f"from {ranks.rank}"),
        ranks.any((ranks.rank == 1, False)),
        ranks.mean([ranks.rank, 10.0]),
    )


def fail(ranks: Ranks, how: str) -> None:
    if ranks.rank == 1:
        if how == "raise":
            raise KeyError("no such thing")
        if how == "user error":
            raise DatasetError("nothing to train on; add images")
        if how == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory")
        if how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.gather(ranks.rank)


def first_fails(ranks: Ranks, job: None) -> None:
    if ranks.is_first:
        raise ValueError("only here")
    ranks.gather(1)


def pid_of_other(ranks: Ranks, job: None) -> int:
    return ranks.gather(os.getpid())[1] if ranks.is_first else ranks.gather(os.getpid())


def gradient_and_exchange(ranks: Ranks, job: None) -> tuple:
    return average_gradient(ranks, 1), average_gradient(ranks, 2), exchange(ranks, None)


def test_two_processes_compute_the_gradient_of_one_and_exchange_values():
    whole, in_parts, exchanged = together(gradient_and_exchange)
    alone = Linear()
    expected = alone(BATCH)["loss"]
    expected.backward()
    for loss, gradient in (whole, in_parts):
        assert loss == pytest.approx(expected.item())
        assert gradient == pytest.approx(alone.weight.grad.item())
    assert exchanged == ([{"rank": 0}, {"rank": 1}], "from 0", [True, False], [0.5, 10.0])


def test_alone_needs_no_connections():
    results = together(exchange, number=1)
    assert results == ([{"rank": 0}], "from 0", [False, False], [0.0, 10.0])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        pytest.param("kill", RankError, "process 1 failed: killed by signal 9", id="killed"),
        pytest.param("raise", RankError, "process 1 failed: 'no such", id="defect", marks=SLOW),
        pytest.param("user error", DatasetError, "nothing to", id="user's error", marks=SLOW),
        pytest.param("memory", torch.OutOfMemoryError, "memory", id="memory", marks=SLOW),
        pytest.param("stop", RankError, "stopped answering", id="hangs", marks=SLOW),
    ],
)
def test_one_failing_process_ends_all(how, error, message):
    start = time.monotonic()
    with pytest.raises(error, match=message):
        together(fail, how, timeout_s=8.0 if how == "stop" else 60.0)
    assert time.monotonic() - start < 40


@pytest.mark.slow
def test_failure_of_the_first_process_is_its_own():
    with pytest.raises(ValueError, match="only here"):
        together(first_fails)


@pytest.mark.slow
def test_no_process_is_left_behind():
    pid = together(pid_of_other)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_training_with_two_processes_stopped_and_resumed(tiny, tmp_path):
    # The real model: the other process does not know of the tiny one.
    cfg = tiny.tiny_config(
        "SOLVER.IMS_PER_BATCH",
        "4",
        "SOLVER.EMA.ENABLED",
        "False",
        "MODEL.META_ARCHITECTURE",
        "RetinaNet",
        "SOLVER.MAX_ITER",
        "6",
    )
    summary = tiny.tiny_train(tmp_path / "two/run", cfg, devices=["cpu"] * 2)
    assert summary.iteration == 6
    assert "validation_total_loss" in summary.last.metrics
    two = torch.load(summary.last.weights, weights_only=True)["model"]
    polls = iter(range(1, 99))
    options = {"devices": ["cpu"] * 2, "should_stop": lambda: next(polls) == 4}
    assert tiny.tiny_train(tmp_path / "again/run", cfg, **options).stopped
    summary = tiny.tiny_train(tmp_path / "again/run", cfg, devices=["cpu"] * 2)
    again = torch.load(summary.last.weights, weights_only=True)["model"]
    assert all(torch.equal(two[key], again[key]) for key in two)


@pytest.mark.slow
def test_two_processes_agree_on_what_fits_into_the_time(tiny, tmp_path):
    cfg = tiny.tiny_config(
        *("SOLVER.IMS_PER_BATCH", "4", "MODEL.META_ARCHITECTURE", "RetinaNet"),
        *("SOLVER.MAX_ITER", "1000", "SOLVER.STEPS", "(700,)", "SOLVER.MAX_MINUTES", "0.5"),
        *("TEST.EVAL_PERIOD", "0", "TEST.EVAL_SHARE", "0.5"),
    )
    seconds = count()  # of the first process, each time that it asks
    summary = tiny.tiny_train(
        tmp_path / "two/run", cfg, devices=["cpu"] * 2, clock=lambda: next(seconds)
    )
    assert not summary.stopped
    assert 2 <= summary.iteration < 30
    assert "validation_total_loss" in summary.last.metrics


@pytest.mark.slow
def test_lost_process_is_replaced_from_the_checkpoint(tiny, tmp_path, caplog):
    cfg = tiny.tiny_config(
        "SOLVER.IMS_PER_BATCH",
        "4",
        "MODEL.META_ARCHITECTURE",
        "RetinaNet",
        "SOLVER.MAX_ITER",
        "4",
        "SOLVER.CHECKPOINT_PERIOD",
        "1",
        "SOLVER.STEPS",
        "()",
    )
    polls = iter(range(1, 99))

    def kill_once() -> bool:
        if next(polls) == 2:
            multiprocessing.active_children()[0].kill()
        return False

    options = {"devices": ["cpu"] * 2, "val_records": [], "should_stop": kill_once}
    assert tiny.tiny_train(tmp_path / "run", cfg, **options).iteration == 4
    assert "starting again from the last checkpoint" in caplog.text


def test_batch_that_cannot_be_shared(tiny, tmp_path):
    with pytest.raises(ConfigError, match="multiple of 3"):
        tiny.tiny_train(tmp_path / "run", tiny.tiny_config(), devices=["cpu"] * 3)
