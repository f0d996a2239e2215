import pytest
import torch

from app.engine.config import get_config
from app.engine.cpu.fold import fold_batch_norm
from app.engine.errors import ConfigError
from app.engine.modeling.backbones.regnet import build_regnet_backbone, regnet_stages


def _cfg(*opts):
    cfg = get_config()
    cfg.MODEL.REGNETS.merge_from_list(
        ["DEPTH", 6, "W_0", 16, "W_A", 12.0, "W_M", 2.0, "GROUP_WIDTH", 8, "STEM_WIDTH", 8]
    )
    cfg.MODEL.REGNETS.OUT_FEATURES = ["s1", "s2"]
    cfg.merge_from_list(list(opts))
    return cfg


@pytest.mark.parametrize(
    ("rule", "stages"),
    [
        pytest.param(
            {"depth": 23, "w_a": 38.65, "w_0": 96, "w_m": 2.43, "group_width": 40},
            [(2, 80, 40), (5, 240, 40), (14, 560, 40), (2, 1360, 40)],
            id="RegNetX-4GF",
        ),
        pytest.param(
            {"depth": 22, "w_a": 31.41, "w_0": 96, "w_m": 2.24, "group_width": 64},
            [(2, 128, 64), (6, 192, 64), (12, 512, 64), (2, 1088, 64)],
            id="RegNetY-4GF",
        ),
    ],
)
def test_published_networks(rule, stages):
    assert regnet_stages(**rule) == stages


@pytest.mark.parametrize("se_ratio", [0.0, 0.25])
@pytest.mark.parametrize("norm", ["FrozenBN", "BN", "SyncBN"])
def test_maps_and_gradients(norm, se_ratio):
    cfg = _cfg("MODEL.REGNETS.NORM", norm, "MODEL.REGNETS.SE_RATIO", se_ratio)
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.REGNETS.OUT_FEATURES = ["stem", "s1", "s2"]
    body = build_regnet_backbone(cfg)
    maps = body.train()(torch.rand(2, 3, 64, 32))
    for name, shape in body.output_shape().items():
        assert maps[name].shape == (2, shape.channels, 64 // shape.stride, 32 // shape.stride)
    maps["s2"].sum().backward()
    assert body.stem.conv.weight.grad is not None


def test_a_folded_body_agrees():
    body = build_regnet_backbone(_cfg("MODEL.REGNETS.SE_RATIO", 0.25)).eval()
    for module in body.modules():
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 1.5)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for name, value in fold_batch_norm(body)(x).items():
            torch.testing.assert_close(value, body(x)[name], rtol=1e-4, atol=1e-5)


def test_freezing():
    body = build_regnet_backbone(_cfg("MODEL.BACKBONE.FREEZE_AT", 2))
    frozen = {name: not next(p.parameters()).requires_grad for name, p in body.named_children()}
    assert [name for name, value in frozen.items() if value] == ["stem", "s1"]


def test_a_stage_that_equal_widths_leave_out_is_refused():
    with pytest.raises(ConfigError, match=r"choose from stem, s1$"):
        build_regnet_backbone(_cfg("MODEL.REGNETS.W_A", 0.0))


def test_every_stage_can_be_asked_for():
    cfg = _cfg()
    rule = cfg.MODEL.REGNETS
    stages = regnet_stages(
        depth=rule.DEPTH, w_a=rule.W_A, w_0=rule.W_0, w_m=rule.W_M, group_width=rule.GROUP_WIDTH
    )
    rule.OUT_FEATURES = ["stem", *(f"s{i + 1}" for i in range(len(stages)))]
    assert list(build_regnet_backbone(cfg).output_shape()) == rule.OUT_FEATURES
