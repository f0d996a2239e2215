"""Models made ready for inference say what they said before."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from app.engine.cpu import packed, prepare
from app.engine.cpu.packed import PackedConv2d, PackedLinear
from app.engine.cpu.prepare import prepare_for_inference
from app.engine.cpu.winograd import WinogradConv2d
from app.engine.layers.conv import Conv2d
from app.engine.layers.map_linear import MapLinear
from app.engine.layers.norm import get_norm


class Net(nn.Module):
    """Convolutions with all that is packed, or must not be."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(inplace=True),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.SiLU(),
            nn.Conv2d(8, 8, 1),
            nn.GroupNorm(2, 8),
            nn.ReLU(),
        )
        self.first = Conv2d(8, 8, 3, padding=1, norm=get_norm("FrozenBN", 8), activation=F.relu_)
        self.norm_stays = Conv2d(8, 8, 1, norm=nn.GroupNorm(2, 8), activation=F.relu)
        self.last = Conv2d(8, 8, 1, norm=get_norm("BN", 8))
        self.reflected = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.vector = MapLinear(8, 8, 6)
        self.out = nn.Linear(6, 4)

    def forward(self, x):
        x = self.body(x)
        x = F.relu(self.last(self.norm_stays(self.first(x))) + x)
        x = F.max_pool2d(self.up(self.reflected(x)), 2)
        return self.out(F.relu(self.vector(x)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net().eval()
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.5, 2)
    return net


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_outputs_agree_to_rounding(net, batch):
    x = torch.rand(batch, 3, 16, 16)
    ready = prepare_for_inference(net)
    with torch.inference_mode():
        torch.testing.assert_close(ready(x), net(x), atol=1e-5, rtol=1e-4)
    assert isinstance(net.body[0], nn.Conv2d), "the model itself stays as it is"


def test_what_can_be_packed_is(net):
    ready = prepare_for_inference(net)
    assert [type(m).__name__ for m in ready.body] == [
        "PackedConv2d",
        "Identity",
        "Identity",
        "PackedConv2d",
        "Identity",
        "PackedConv2d",
        "GroupNorm",
        "ReLU",
    ]
    assert ready.body[0].activation == packed.Activation("hardtanh", (0.0, 6.0))
    assert isinstance(ready.first, PackedConv2d)
    assert isinstance(ready.vector, PackedLinear)
    assert type(ready.norm_stays) is Conv2d
    assert type(ready.reflected) is nn.Conv2d


def test_lower_precision_is_near(net):
    x = torch.rand(2, 3, 16, 16)
    ready = prepare_for_inference(net, precision="bf16")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = ready(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), net(x), atol=0.05, rtol=0.05)
    assert ready.up.weight.dtype == torch.bfloat16


def test_without_onednn_nothing_is_packed(net, monkeypatch):
    monkeypatch.setattr(packed, "_available", lambda dtype: False)
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        ready = prepare_for_inference(net)
        assert not any(isinstance(m, PackedConv2d | PackedLinear) for m in ready.modules())
        torch.testing.assert_close(ready(x), net(x), atol=1e-5, rtol=1e-4)
    for weight in ready.parameters():
        assert weight.dim() != 4 or weight.is_contiguous(memory_format=torch.channels_last)


def test_a_model_may_be_consumed(net):
    x = torch.rand(1, 3, 16, 16)
    expected = net(x)
    ready = prepare_for_inference(net, consume=True)
    assert ready is net
    assert not list(net.body[0].parameters())
    with torch.inference_mode():
        torch.testing.assert_close(ready(x), expected, atol=1e-5, rtol=1e-4)


def test_wide_layers_run_by_tiles_where_memory_is_left(monkeypatch):
    convs = [nn.Conv2d(512, 512, 3, padding=1) for _ in range(3)]
    net = nn.Sequential(*convs, nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 8, 3, padding=1))
    monkeypatch.setattr(prepare, "_MOST_TRANSFORMED_BYTES", 36 * 4 * (2 * 512 * 512 + 64 * 64))
    ready = prepare_for_inference(net, consume=True)
    assert [isinstance(m, WinogradConv2d) for m in ready] == [False, True, True, True, False]


def test_maps_of_all_sizes_one_after_the_other():
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 36, 3, padding=1).requires_grad_(False)
    ready = PackedConv2d(conv, dtype=torch.float32)
    for side in (20, 3, 40, 1, 3, 20):
        x = torch.rand(2, 16, side, side)
        torch.testing.assert_close(ready(x), conv(x), atol=1e-5, rtol=1e-4)
