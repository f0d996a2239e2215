import pytest
import torch

from app.engine.config import get_config
from app.engine.layers.deform import DeformConv
from app.engine.layers.norm import FrozenBatchNorm2d
from app.engine.modeling.backbones.resnet import (
    BLOCKS_PER_STAGE,
    StageSpec,
    build_resnet_backbone,
    make_stage,
)


def _cfg(*opts):
    cfg = get_config()
    cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list(list(opts))
    return cfg


def _resnet18(*opts):
    return build_resnet_backbone(
        _cfg("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64, *opts)
    )


def test_maps_have_the_promised_channels_and_strides():
    names = ["stem", "res2", "res3", "res4", "res5"]
    body = _resnet18("MODEL.RESNETS.OUT_FEATURES", names)
    maps = body(torch.rand(2, 3, 64, 96))
    assert list(maps) == names
    for name, shape in body.output_shape().items():
        assert maps[name].shape == (2, shape.channels, 64 // shape.stride, 96 // shape.stride)


@pytest.mark.parametrize(
    ("wanted", "built"),
    [
        pytest.param(["res2"], ["res2"], id="the first stage"),
        pytest.param(["res2", "res5"], ["res2", "res3", "res4", "res5"], id="first and last"),
        pytest.param(["stem", "res3"], ["res2", "res3"], id="with the stem"),
    ],
)
def test_stages_behind_the_last_map_are_not_built(wanted, built):
    assert _resnet18("MODEL.RESNETS.OUT_FEATURES", wanted).stage_names == built


@pytest.mark.parametrize(
    ("freeze_at", "frozen"),
    [
        pytest.param(0, set(), id="nothing"),
        pytest.param(1, {"stem"}, id="stem"),
        pytest.param(3, {"stem", "res2", "res3"}, id="stem, res2, res3"),
    ],
)
def test_freezing(freeze_at, frozen):
    body = _resnet18("MODEL.BACKBONE.FREEZE_AT", freeze_at, "MODEL.RESNETS.NORM", "BN")
    for name, part in body.named_children():
        parameters = list(part.parameters())
        assert all(p.requires_grad != (name in frozen) for p in parameters)
        norms = [m for m in part.modules() if isinstance(m, FrozenBatchNorm2d)]
        assert bool(norms) == (name in frozen)


def test_dilation_replaces_the_last_stride():
    body = build_resnet_backbone(
        _cfg("MODEL.RESNETS.OUT_FEATURES", ["res5"], "MODEL.RESNETS.RES5_DILATION", 2)
    )
    assert body.output_shape()["res5"].stride == 16
    assert body.eval()(torch.rand(1, 3, 32, 32))["res5"].shape == (1, 2048, 2, 2)
    assert {block.conv2.dilation for block in body.res5} == {(2, 2)}


@pytest.mark.parametrize("in_1x1", [True, False])
def test_where_the_stride_sits(in_1x1):
    spec = StageSpec(1, 8, 16, stride=2, bottleneck_channels=4, stride_in_1x1=in_1x1)
    block = make_stage(spec)[0]
    assert (block.conv1.stride, block.conv2.stride) == (
        ((2, 2), (1, 1)) if in_1x1 else ((1, 1), (2, 2))
    )
    assert make_stage(spec)(torch.rand(1, 8, 6, 6)).shape == (1, 16, 3, 3)


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_fresh_deformable_block_is_a_plain_one(modulated, groups):
    torch.manual_seed(0)
    plain = StageSpec(2, 8, 16, stride=2, bottleneck_channels=4)
    spec = StageSpec(
        2, 8, 16, stride=2, bottleneck_channels=4, offset_groups=groups, modulated=modulated
    )
    deformable, reference = make_stage(spec).eval(), make_stage(plain).eval()
    assert isinstance(deformable[0].conv2, DeformConv)
    state = deformable.state_dict()
    reference.load_state_dict({k: v for k, v in state.items() if "offset" not in k})
    assert state["0.conv2_offset.weight"].shape[0] == (27 if modulated else 18) * groups
    x = torch.rand(1, 8, 8, 8)
    if modulated:  # fresh masks are one half
        for block in reference:
            block.conv2.weight.data.mul_(0.5)
    torch.testing.assert_close(deformable(x), reference(x), rtol=1e-4, atol=1e-5)


def test_shortcut_projects_only_where_channels_change():
    stage = make_stage(StageSpec(2, 8, 16, bottleneck_channels=4))
    assert stage[0].shortcut is not None
    assert stage[1].shortcut is None


def test_seeded_initialisation_draws_as_detectron2_does():
    torch.manual_seed(121)
    body = build_resnet_backbone(_cfg("MODEL.RESNETS.DEPTH", 50))
    # Recorded from detectron2 with the same seed.
    state = body.state_dict()
    assert state["stem.conv1.weight"].double().sum().item() == pytest.approx(1.8644243922)
    assert state["res4.5.conv3.weight"].double().sum().item() == pytest.approx(1.8786150110)


def test_blocks_of_a_stage():
    """Table 1 of https://arxiv.org/abs/1512.03385."""
    assert BLOCKS_PER_STAGE == {
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
    }
