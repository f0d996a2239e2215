import pytest
import torch
from torch import Tensor, nn

from app.engine.config import get_config
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.backbones import Backbone
from app.engine.modeling.necks.fpn import FPN, LastLevelMaxPool, build_fpn
from app.engine.modeling.necks.retinanet_fpn import LastLevelP6P7, build_retinanet_fpn


class Slices(Backbone):
    """Maps m3, m4, m5 of 2, 3 and 4 channels: the picture's first values, thinned out."""

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"m3": ShapeSpec(2, 8), "m4": ShapeSpec(3, 16), "m5": ShapeSpec(4, 32)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {
            name: x[:, : s.channels, :: s.stride, :: s.stride] + 0
            for name, s in self.output_shape().items()
        }


def _cfg(*opts):
    cfg = get_config()
    cfg.MODEL.FPN.IN_FEATURES = ["m3", "m4", "m5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.merge_from_list(list(opts))
    return cfg


@pytest.mark.parametrize(
    ("build", "opts", "levels"),
    [
        pytest.param(build_fpn, [], ["p3", "p4", "p5", "p6"], id="one pooled level"),
        pytest.param(
            build_retinanet_fpn, [], ["p3", "p4", "p5", "p6", "p7"], id="two levels from the body"
        ),
        pytest.param(
            build_retinanet_fpn,
            ["MODEL.FPN.TOP_BLOCK_IN_FEATURE", "p5"],
            ["p3", "p4", "p5", "p6", "p7"],
            id="two levels from the pyramid",
        ),
        pytest.param(build_fpn, ["MODEL.FPN.NORM", "GN"], ["p3", "p4", "p5", "p6"], id="norm"),
        pytest.param(
            build_retinanet_fpn,
            ["MODEL.FPN.SEPARABLE", "True", "MODEL.FPN.TOP_BLOCK_IN_FEATURE", "p5"],
            ["p3", "p4", "p5", "p6", "p7"],
            id="separable",
        ),
    ],
)
def test_levels(build, opts, levels):
    fpn = build(_cfg(*opts), Slices())
    maps = fpn(torch.rand(2, 4, 128, 64))
    assert list(maps) == list(fpn.output_shape()) == levels
    for name, shape in fpn.output_shape().items():
        stride = 2 ** int(name[1])
        assert shape == ShapeSpec(32, stride)
        assert maps[name].shape == (2, 32, 128 // stride, max(64 // stride, 1))
    assert fpn.size_divisibility == 32
    assert (fpn.fpn_lateral3.bias is None) == ("GN" in opts)


def _identity(fpn: FPN) -> None:
    for module in fpn.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            nn.init.zeros_(module.bias)


@pytest.mark.parametrize(("average", "share"), [(False, 1.0), (True, 0.5)])
def test_coarse_cells_are_added_to_the_four_finer_ones(average, share):
    fpn = FPN(
        Slices(),
        in_features=["m4", "m5"],
        out_channels=3,
        top_block=LastLevelMaxPool("p5"),
        average=average,
    )
    _identity(fpn)
    x = torch.rand(1, 4, 64, 64)
    body = fpn.bottom_up(x)
    maps = fpn(x)
    coarse = body["m5"][:, :3]
    torch.testing.assert_close(maps["p5"], coarse)
    expected = (body["m4"] + coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)) * share
    torch.testing.assert_close(maps["p4"], expected)
    torch.testing.assert_close(maps["p6"], maps["p5"][:, :, ::2, ::2])


@pytest.mark.parametrize("size", [(2, 2), (2, 1), (7, 2), (9, 1)], ids=str)
def test_gradients_of_narrow_maps_in_mixed_precision_are_those_of_full_precision(
    size: tuple[int, int],
) -> None:
    """As of images up to 64 pixels wide, or very tall ones; torch reads unwritten memory there."""
    torch.manual_seed(0)
    block = LastLevelP6P7(16, 16, "p5")
    x = torch.randn(2, 16, *size)

    def gradients(mixed: bool) -> list[torch.Tensor]:
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            levels = block(x)
        for length in (10, 100, 1000, 10_000):
            torch.full((length,), torch.nan)  # what memory that is used again may hold
        torch.stack([level.float().square().sum() for level in levels]).sum().backward()
        return [conv.weight.grad.clone() for conv in (block.p6, block.p7)]

    expected = gradients(False)
    for _ in range(5):
        torch.testing.assert_close(gradients(True), expected, atol=0.05, rtol=0.1)
