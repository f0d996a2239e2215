"""Models that are prepared for inference give the same detections as before."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from app.engine.cpu import onednn
from app.engine.cpu.packed_conv import PackedConv2d
from app.engine.cpu.packed_linear import PackedLinear
from app.engine.cpu.prepare import prepare_for_inference, prepare_for_training
from app.engine.cpu.roi_align import GatheringROIPooler
from app.engine.cpu.winograd import WinogradConv2d
from app.engine.cpu.winograd_training import TiledConv2d
from app.engine.layers.conv import Conv2d
from app.engine.layers.norm import get_norm
from app.engine.layers.roi_pool import ROIPooler


class Net(nn.Module):
    """What is replaced, and what must not be."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(inplace=True),
            nn.Conv2d(8, 128, 3, padding=1),
        )
        self.wide = Conv2d(
            128, 128, 3, padding=1, norm=get_norm("FrozenBN", 128), activation=F.relu_
        )
        self.norm_stays = Conv2d(128, 128, 3, padding=1, norm=nn.GroupNorm(2, 128))
        self.reflected = Conv2d(128, 128, 3, padding=1, padding_mode="reflect")
        self.up = nn.ConvTranspose2d(128, 8, 2, stride=2)
        self.vector = nn.Linear(8 * 32 * 32, 6)
        self.out = nn.Linear(6, 4)
        self.pooler = ROIPooler([4], side=2, sampling_ratio=0, pooler_type="ROIAlignV2")

    def forward(self, x):
        x = self.reflected(self.norm_stays(self.wide(self.body(x))))
        x = F.max_pool2d(self.up(x), 2)
        return self.out(F.relu(self.vector(x.flatten(1))))


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
    x = torch.rand(batch, 3, 64, 64)
    ready = prepare_for_inference(net)
    with torch.inference_mode():
        torch.testing.assert_close(ready(x), net(x), atol=1e-5, rtol=1e-4)
    assert isinstance(net.vector, nn.Linear), "the model itself stays as it is"


def test_what_gains_is_replaced(net):
    ready = prepare_for_inference(net)
    assert [type(m) for m in ready.body] == [PackedConv2d, nn.Identity, nn.ReLU6, PackedConv2d]
    kinds = {name: type(module) for name, module in ready.named_children() if name != "body"}
    assert kinds == {
        "wide": WinogradConv2d,
        "norm_stays": WinogradConv2d,
        "reflected": Conv2d,
        "up": nn.ConvTranspose2d,
        "vector": PackedLinear,
        "out": PackedLinear,
        "pooler": GatheringROIPooler,
    }


def test_lower_precision_is_near(net):
    x = torch.rand(2, 3, 64, 64)
    ready = prepare_for_inference(net, precision="bf16")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = ready(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), net(x), atol=0.05, rtol=0.05)
    assert ready.up.weight.dtype == torch.bfloat16


def test_without_onednn_the_results_are_the_same(net, monkeypatch):
    monkeypatch.setattr(onednn, "_agrees", lambda kind, dtype: False)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        ready = prepare_for_inference(net)
        torch.testing.assert_close(ready(x), net(x), atol=1e-5, rtol=1e-4)
    for weight in ready.parameters():
        assert weight.dim() != 4 or weight.is_contiguous(memory_format=torch.channels_last)


def test_a_model_may_be_consumed(net):
    x = torch.rand(1, 3, 64, 64)
    expected = net(x)
    ready = prepare_for_inference(net, consume=True)
    assert ready is net
    with torch.inference_mode():
        torch.testing.assert_close(ready(x), expected, atol=1e-5, rtol=1e-4)


def test_on_another_device_only_norms_are_folded(net):
    ready = prepare_for_inference(net.to("meta"))
    assert isinstance(ready.body[1], nn.Identity)
    assert type(ready.wide) is Conv2d
    assert type(ready.vector) is nn.Linear
    assert type(ready.pooler) is ROIPooler


@pytest.mark.parametrize("by_tiles", [True, False])
def test_training_keeps_the_names_and_the_weights(net, by_tiles):
    before = dict(net.state_dict())
    prepare_for_training(net, by_tiles=by_tiles)
    assert type(net.wide) is (TiledConv2d if by_tiles else Conv2d)
    assert type(net.pooler) is GatheringROIPooler
    assert {name: id(tensor) for name, tensor in net.state_dict(keep_vars=True).items()}.keys() == (
        before.keys()
    )
    assert all(net.state_dict()[name].data_ptr() == t.data_ptr() for name, t in before.items())


def test_a_model_in_training_can_be_prepared_for_inference(net):
    x = torch.rand(1, 3, 64, 64)
    expected = net(x)
    prepare_for_training(net)
    ready = prepare_for_inference(net)
    assert type(ready.wide) is WinogradConv2d
    assert type(net.wide) is TiledConv2d
    with torch.inference_mode():
        torch.testing.assert_close(ready(x), expected, atol=1e-5, rtol=1e-4)
