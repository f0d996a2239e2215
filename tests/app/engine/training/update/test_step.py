"""One step of the optimiser, in as many parts as memory requires."""

import pytest
import torch
from torch import nn

from app.engine.errors import OutOfMemoryError
from app.engine.training.update.step import Stepper


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
