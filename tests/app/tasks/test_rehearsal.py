"""Faults that only the built network shows are reported before data is read."""

import pytest

from app.engine.config import load_config
from app.engine.errors import ConfigError
from app.places import CONFIG_ROOT
from app.tasks.rehearsal import rehearse

MASKS = CONFIG_ROOT / "configs/Mobile/mask_rcnn_mobilenetv2_FPN_light.yaml"
C4 = CONFIG_ROOT / "configs/COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param(["MODEL.RESNETS.DEPTH", "18"], "RES2_OUT_CHANNELS", id="a shallow body"),
        pytest.param(
            ["MODEL.RESNETS.NORM", "GN", "MODEL.RESNETS.STEM_OUT_CHANNELS", "48"],
            "GN",
            id="GN of 48",
        ),
        pytest.param(["MODEL.RESNETS.RES5_DILATION", "2"], "Res5ROIHeads", id="dilation of C4"),
    ],
)
def test_what_cannot_be_built(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rehearse(load_config(C4, overrides))


def test_what_can_be_built_leaves_the_config_alone() -> None:
    cfg = load_config(MASKS)
    cfg.freeze()
    rehearse(cfg)
    assert cfg.MODEL.DEVICE == "cuda"
