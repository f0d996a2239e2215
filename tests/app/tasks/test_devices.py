"""Which devices a run gets, with imaginary GPUs."""

import pytest
import torch

from app.engine.trained import devices
from app.tasks.devices import device_ids, device_names
from executor.errors import DeviceError, NoDeviceError
from executor.hyperparameters import InferHyperparameters


@pytest.fixture
def gpus(monkeypatch):
    """Makes torch believe in so many GPUs of a kind."""

    def pretend(count: int, capability: tuple[int, int] = (9, 0)) -> None:
        monkeypatch.setattr(devices, "GPU_FILES", ("null",))
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Imaginary GPU")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90"])

    return pretend


def asked(gpu_id: str | None) -> InferHyperparameters:
    return InferHyperparameters(gpu_id=gpu_id)


@pytest.mark.parametrize(
    ("count", "gpu_id", "expected"),
    [
        pytest.param(0, "", [], id="the CPU"),
        pytest.param(2, "", [], id="the CPU beside GPUs"),
        pytest.param(0, None, [], id="nobody chose, no GPU"),
        pytest.param(2, None, [0, 1], id="nobody chose"),
        pytest.param(2, "1", [1], id="one of two"),
    ],
)
def test_chosen(gpus, count, gpu_id, expected):
    gpus(count)
    assert device_ids(asked(gpu_id)) == expected
    assert device_names(expected) == ([f"cuda:{index}" for index in expected] or ["cpu"])


@pytest.mark.parametrize("count", [0, 1])
def test_a_gpu_that_is_not_there(gpus, count):
    gpus(count)
    with pytest.raises(NoDeviceError, match=f"GPU 1 was asked for but {count} are visible"):
        device_ids(asked("0,1"))


def test_a_gpu_that_is_too_old(gpus):
    gpus(1, capability=(6, 1))
    with pytest.raises(DeviceError, match=r"compute capability 6\.1.* is older than this image"):
        device_ids(asked("0"))
