import pytest
import torch
import torchvision
from torch import nn

from app.engine.config import get_config
from app.engine.config.support import CHOICES
from app.engine.cpu.fold import fold_batch_norm
from app.engine.errors import ConfigError
from app.engine.layers.norm import FrozenBatchNorm2d
from app.engine.modeling.backbones.efficientnet import build_efficientnet_backbone
from app.engine.modeling.backbones.mobilenet import build_mobilenetv2_backbone


def _cfg(*opts):
    cfg = get_config()
    cfg.MODEL.EFFICIENTNET.VARIANT = "b0"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.merge_from_list(list(opts))
    return cfg


BODIES = [
    pytest.param(build_mobilenetv2_backbone, torchvision.models.mobilenet_v2, id="mobilenet"),
    pytest.param(
        build_efficientnet_backbone, torchvision.models.efficientnet_b0, id="efficientnet"
    ),
]


def _randomize(model: nn.Module) -> None:
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)


@pytest.mark.parametrize(("build", "network"), BODIES)
def test_equals_the_torchvision_network_with_its_weights(build, network):
    reference = network(weights=None).eval()
    _randomize(reference)
    body = build(_cfg()).eval()
    state = reference.state_dict()
    # What is left over serves classification.
    missing, unexpected = body.load_state_dict(state, strict=False)
    assert missing == []
    assert all(key.startswith(("classifier.", "features.18.", "features.8.")) for key in unexpected)
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        maps = body(x)
        for (name, shape), tap in zip(body.output_shape().items(), body.taps.values(), strict=True):
            expected = reference.features[: tap.index + 1](x)
            torch.testing.assert_close(maps[name], expected, rtol=1e-3, atol=1e-4)
            assert expected.shape[1:] == (shape.channels, 64 // shape.stride, 96 // shape.stride)
        folded = fold_batch_norm(body)(x)
        for name, value in maps.items():
            torch.testing.assert_close(folded[name], value, rtol=1e-3, atol=1e-4)
        for name, value in body.train()(x).items():  # norms are frozen: the same in training
            torch.testing.assert_close(value, maps[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("build", "network"), BODIES)
def test_freezing(build, network):
    body = build(_cfg("MODEL.BACKBONE.FREEZE_AT", 2))
    end = next(iter(body.taps.values())).index
    for i, module in enumerate(body.features):
        assert all(p.requires_grad == (i > end) for p in module.parameters())


@pytest.mark.parametrize("norm", ["BN", "SyncBN", "FrozenBN"])
def test_norms(norm):
    body = build_mobilenetv2_backbone(_cfg("MODEL.MOBILENETV2.NORM", norm))
    frozen = [m for m in body.modules() if isinstance(m, FrozenBatchNorm2d)]
    assert bool(frozen) == (norm == "FrozenBN")
    body.train()(torch.rand(2, 3, 32, 32))["mb5"].sum().backward()
    assert body.features[0][0].weight.grad is not None


def test_only_what_is_needed_is_built():
    body = build_efficientnet_backbone(_cfg("MODEL.EFFICIENTNET.OUT_FEATURES", ["ef4"]))
    assert len(body.features) == 6
    assert body.output_shape()["ef4"].stride == 16


@pytest.mark.parametrize("variant", CHOICES["MODEL.EFFICIENTNET.VARIANT"])
def test_every_variant_is_torchvisions(variant):
    with torch.device("meta"):
        body = build_efficientnet_backbone(_cfg("MODEL.EFFICIENTNET.VARIANT", variant))
        reference = torchvision.models.get_model(
            f"efficientnet_{variant}", weights=None
        ).state_dict()
    mine = body.state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: reference[k].shape for k in mine}
    norm = next(m for m in body.modules() if isinstance(m, FrozenBatchNorm2d))
    assert norm.eps == (1e-3 if variant >= "b5" else 1e-5)


@pytest.mark.parametrize("build", [build_mobilenetv2_backbone, build_efficientnet_backbone])
def test_grey_images_are_refused(build):
    with pytest.raises(ConfigError, match="3 channels"):
        build(_cfg("MODEL.PIXEL_MEAN", [1.0]))
