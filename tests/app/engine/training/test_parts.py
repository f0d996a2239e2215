"""The small parts: random state, moving average, precise statistics, progress, one step."""

import random
import time

import numpy as np
import pytest
import torch
from torch import nn

from app.engine.checkpoint.store import is_plain
from app.engine.errors import OutOfMemoryError
from app.engine.training.ema import Ema
from app.engine.training.precise_bn import has_batch_norm, update_statistics
from app.engine.training.progress import ProgressMeter
from app.engine.training.rng import rng_preserved, rng_state, seed_all, set_rng_state
from app.engine.training.step import Stepper


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_random_state_round_trip():
    seed_all(3)
    draws()
    np.random.standard_normal()  # leaves a cached second value behind
    state = rng_state()
    expected = draws()
    draws()
    set_rng_state(state)
    assert draws() == expected
    assert is_plain(state)


def test_random_state_preserved():
    seed_all(3)
    expected = draws()
    seed_all(3)
    with rng_preserved():
        seed_all(99)
        draws()
    assert draws() == expected


def test_ema_follows_with_a_decay_that_rises():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    ema = Ema(model, decay=0.999)
    ema.update(model)
    nn.init.constant_(model.weight, 2.0)
    ema.update(model)  # decay (1 + 2) / (10 + 2)
    assert float(ema.model.weight.detach()) == pytest.approx(0.25 * 1 + 0.75 * 2)
    nn.init.constant_(model.weight, 5.0)
    copy = Ema(nn.Linear(1, 1, bias=False), decay=0.999)
    copy.load_state_dict(ema.state_dict())
    copy.update(model)
    ema.update(model)
    assert torch.equal(copy.model.weight, ema.model.weight)
    assert is_plain(ema.state_dict())


def test_ema_takes_norm_statistics_from_the_model():
    model = nn.BatchNorm2d(2)
    ema = Ema(model, decay=0.9)
    model(torch.randn(4, 2, 3, 3))
    ema.update(model)
    assert torch.equal(ema.model.running_mean, model.running_mean)


def test_precise_statistics_are_those_of_all_batches():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3)).train()
    batches = [torch.randn(4, 3, 5, 5) * 2 + 1 for _ in range(6)]
    update_statistics(model, batches, num_batches=6, device=torch.device("cpu"))
    everything = torch.cat(batches)
    assert torch.allclose(model[0].running_mean, everything.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(model[0].running_var, everything.var((0, 2, 3)), rtol=0.02)
    assert model[0].momentum == 0.1


def test_frozen_norms_are_left_alone():
    assert not has_batch_norm(nn.Sequential(nn.BatchNorm2d(3)).eval())
    assert has_batch_norm(nn.Sequential(nn.BatchNorm2d(3)))


class TestProgress:
    def meter(self, reports, **options):
        settings = {"max_iter": 10, "evaluations": [5, 10], "evaluation_cost": 5.0}
        return ProgressMeter(reports.append, **(settings | options))

    def test_evaluations_count(self, monkeypatch):
        monkeypatch.setattr("app.engine.training.progress._MIN_PAUSE_S", 0.0)
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
        monkeypatch.setattr("app.engine.training.progress._MIN_PAUSE_S", 0.0)
        reports = []
        meter = self.meter(reports)
        meter.iterations(8)
        meter.iterations(2)
        assert reports[1] == reports[0]

    def test_ticks_while_nothing_else_happens(self, monkeypatch):
        monkeypatch.setattr("app.engine.training.progress._MIN_PAUSE_S", 0.0)
        monkeypatch.setattr("app.engine.training.progress._TICK_S", 0.01)
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


class Network(nn.Module):
    """Loss = mean of (weight * value - 1)^2 over a list of numbers; optionally out of memory."""

    def __init__(self, limit=99):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.limit = limit
        self.sizes = []

    def forward(self, samples):
        if len(samples) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB\nmore")
        self.sizes.append(len(samples))
        values = torch.tensor(samples)
        return {"loss_a": ((self.weight * values - 1) ** 2).mean(), "loss_b": 0 * self.weight}


def stepper(network, **options):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    return Stepper(network, optimizer, device=torch.device("cpu"), **options)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        pytest.param({"accumulate": 2}, [3, 3], id="two halves"),
        pytest.param({"accumulate": 4}, [1, 1, 2, 2], id="uneven parts"),
        pytest.param({"accumulate": 99}, [1] * 6, id="more parts than images"),
    ],
)
def test_accumulated_parts_move_weights_like_the_whole(options, sizes):
    batch = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    whole, parts = Network(), Network()
    losses = stepper(whole)(batch)
    assert stepper(parts, **options)(batch)["loss_a"] == pytest.approx(float(losses["loss_a"]))
    assert parts.sizes == sizes
    assert parts.weight.item() == pytest.approx(whole.weight.item(), rel=1e-6)


def test_lack_of_memory_halves_the_parts_and_stays_so(caplog):
    whole, short = Network(), Network(limit=2)
    step = stepper(short)
    for _ in range(2):
        stepper(whole)([1.0, 2.0, 3.0, 4.0])
        step([1.0, 2.0, 3.0, 4.0])
    assert short.sizes == [2, 2, 2, 2]
    assert short.weight.item() == pytest.approx(whole.weight.item(), rel=1e-6)
    assert caplog.text.count("Out of memory") == 1


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory"), id="torch"),
        pytest.param(MemoryError(), id="Python"),
    ],
)
def test_lack_of_the_hosts_memory_counts_too(error):
    network = Network()
    failures = [error]

    def forward(samples):
        if failures:
            raise failures.pop()
        return Network.forward(network, samples)

    network.forward = forward
    step = stepper(network)
    step([1.0, 2.0])
    assert (network.sizes, step.accumulate) == ([1, 1], 2)


def test_other_errors_are_no_lack_of_memory():
    network = Network()
    network.forward = lambda samples: torch.zeros(2) @ torch.zeros(3)
    with pytest.raises(RuntimeError, match="size"):
        stepper(network)([1.0, 2.0])


def test_lack_of_memory_for_one_image_is_an_error():
    with pytest.raises(OutOfMemoryError, match=r"IMS_PER_BATCH"):
        stepper(Network(limit=0))([1.0, 2.0])


def test_bfloat16_losses_come_back_as_float32():
    losses = stepper(Network(), dtype=torch.bfloat16)([1.0])
    assert losses["loss_a"].dtype == torch.float32
