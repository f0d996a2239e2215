"""The fake GPU refuses what CUDA refuses, and counts launches and waits."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from app.engine.layers.nms import nms_sorted
from verification.launches.count import of_detection, of_training
from verification.launches.fake_gpu import fake_gpu


@pytest.fixture
def gpu():
    with fake_gpu() as gpu:
        yield gpu


def on_gpu(*shape):
    return torch.rand(*shape, device="cuda")


@pytest.mark.parametrize(
    "mix",
    [
        pytest.param(lambda: on_gpu(3) + torch.rand(3), id="arithmetic"),
        pytest.param(lambda: torch.cat((on_gpu(3), torch.rand(3))), id="concatenation"),
        pytest.param(lambda: torch.stack((on_gpu(1)[0], torch.rand(()))), id="stacked numbers"),
        pytest.param(lambda: torch.rand(3)[on_gpu(3) > 2], id="a CPU's tensor by a GPU's mask"),
        pytest.param(lambda: on_gpu(3).index_select(0, torch.tensor([1])), id="selection"),
        pytest.param(lambda: F.conv2d(on_gpu(1, 1, 3, 3), torch.rand(1, 1, 3, 3)), id="filters"),
        pytest.param(lambda: nn.Linear(3, 2)(on_gpu(3)), id="a model left on the CPU"),
    ],
)
def test_devices_do_not_mix(gpu, mix):
    with pytest.raises(RuntimeError, match="same device"):
        mix()


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: on_gpu(3).numpy(), id="an array of what is not on the CPU"),
        pytest.param(lambda: on_gpu(2, 2).long() @ on_gpu(2, 2).long(), id="products of integers"),
        pytest.param(
            lambda: nms_sorted(on_gpu(3, 4).bfloat16(), 0.5),
            id="suppression in bfloat16",
        ),
        pytest.param(
            lambda: torch.ops.mkldnn._linear_pointwise(
                on_gpu(3, 2), on_gpu(4, 2), None, "none", [], ""
            ),
            id="an operator of oneDNN",
        ),
    ],
)
def test_what_cuda_lacks_is_refused(gpu, call):
    with pytest.raises((RuntimeError, TypeError)):
        call()


@pytest.mark.parametrize(
    ("call", "launches", "waits"),
    [
        pytest.param(lambda x: x + 1, 1, 0, id="arithmetic"),
        pytest.param(lambda x: x * torch.tensor(2.0), 1, 0, id="a number of the CPU"),
        pytest.param(lambda x: x.view(2, 6)[:, 1:].t(), 0, 0, id="views"),
        pytest.param(lambda x: x[:, 0].relu_(), 1, 0, id="in place on a view"),
        pytest.param(lambda x: x.sum().item(), 2, 1, id="a number on the host"),
        pytest.param(lambda x: bool((x > 0).all()), 3, 1, id="a question"),
        pytest.param(lambda x: x.tolist(), 1, 1, id="a list"),
        pytest.param(lambda x: x[x > 0.5], 2, 1, id="a mask"),
        pytest.param(lambda x: x.__setitem__(x > 0.5, 0.0), 2, 0, id="filling where a mask is"),
        pytest.param(lambda x: x[torch.tensor([0, 1])], 1, 1, id="indices from the CPU"),
        pytest.param(lambda x: x.new_tensor([1.0, 2.0]), 1, 1, id="a list to the device"),
        pytest.param(lambda x: torch.zeros(3, device="cuda"), 1, 0, id="zeros"),
        pytest.param(
            lambda x: torch.rand(3).to("cuda", non_blocking=True), 1, 1, id="pageable memory"
        ),
        pytest.param(
            lambda x: torch.rand(3).pin_memory().to("cuda", non_blocking=True),
            1,
            0,
            id="pinned memory",
        ),
        pytest.param(lambda x: torch.cuda.synchronize(), 0, 1, id="an explicit wait"),
    ],
)
@pytest.mark.parametrize("inference", [False, True], ids=["", "inference"])
def test_launches_and_waits_are_counted(gpu, call, launches, waits, inference):
    x = on_gpu(3, 4)
    gpu.forget()
    with torch.inference_mode(inference):
        call(x)
    assert (gpu.launches.total(), gpu.waits.total()) == (launches, waits)


def trained(device, dtype):
    """Weights and statistics after three steps."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 3)
    )
    images = torch.rand(2, 3, 9, 9)
    net.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast(device, dtype or torch.bfloat16, enabled=dtype is not None):
            y = net(images.to(device))
        # Read in several places, broadcast, and partly.
        loss = (y.float()[:, 1:] ** 2).mean() + (y.float() * y.mean(0)).abs().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    return {name: value.cpu() for name, value in copy.deepcopy(net).state_dict().items()}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
def test_gradients_are_those_of_torch(dtype):
    expected = trained("cpu", dtype)
    with fake_gpu():
        found = trained("cuda", dtype)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_scaled_gradients_in_half_precision():
    expected = trained("cpu", None)
    with fake_gpu():
        found = trained("cuda", torch.float16)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("name", "batch_size", "launches", "waits"),
    [
        pytest.param("retinanet", 1, 370, 8, id="one stage"),
        pytest.param("retinanet", 8, 400, 8, id="one stage, whatever the batch"),
        pytest.param("faster", 1, 385, 9, id="two stages"),
        pytest.param("faster", 8, 970, 6 + 3 * 8, id="two stages: three waits for each image"),
        pytest.param("mask", 1, 480, 12, id="masks"),
    ],
)
def test_detection_asks_little_of_a_gpu(name, batch_size, launches, waits):
    count = of_detection(name, batch_size=batch_size)
    assert count.launches.total() <= launches
    assert count.waits.total() <= waits, count.waits


@pytest.mark.parametrize(
    ("name", "dtype", "launches", "waits"),
    [
        pytest.param("retinanet", torch.bfloat16, 1310, 0, id="one stage never waits"),
        pytest.param("retinanet", torch.float16, 1320, 0, id="nor for scaled gradients"),
        pytest.param("faster", torch.bfloat16, 1210, 9 + 2, id="two stages: once for each image"),
        pytest.param("mask", torch.bfloat16, 1350, 10 + 6, id="masks: three times"),
    ],
)
def test_an_iteration_asks_little_of_a_gpu(name, dtype, launches, waits):
    count = of_training(name, dtype=dtype)
    assert count.launches.total() <= launches
    assert count.waits.total() <= waits, count.waits
