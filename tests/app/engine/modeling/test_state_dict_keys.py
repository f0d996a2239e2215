"""Names and shapes of every weight, and what is trained, for every config detectron2 ships."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from app.engine.config import load_config
from app.engine.modeling.build import build_detector

ROOT = Path(__file__).parents[4]
GOLDEN = json.loads(gzip.decompress((ROOT / "tests/parity/state_dict_keys.json.gz").read_bytes()))

# detectron2 itself could not build these without its compiled extension, mmdet or a trainer.
NOT_RECORDED = {
    "Misc/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv.yaml",
    "Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5.yaml",
    "Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5.yaml",
    "Misc/panoptic_fpn_R_101_dconv_cascade_gn_3x.yaml",
    "Misc/mmdet_mask_rcnn_R_50_FPN_1x.py",
    "Misc/torchvision_imagenet_R_50.py",
    "common/models/mask_rcnn_vitdet.py",
}


def _cases():
    seen = set()
    for name, entry in GOLDEN.items():
        if "error" in entry:
            continue
        # Schedules of one architecture differ in nothing that this test looks at.
        architecture = json.dumps([entry["sd"], entry["trainable"]])
        marks = [pytest.mark.slow] if architecture in seen else []
        seen.add(architecture)
        yield pytest.param(name, marks=marks, id=name)


def _build(name):
    path = (ROOT / "configs" / name).with_suffix(".yaml")
    cfg = load_config(path, ["MODEL.DEVICE", "meta"])
    with torch.device("meta"):
        return build_detector(cfg)


@pytest.mark.parametrize("name", list(_cases()))
def test_keys_and_shapes(name):
    expected = GOLDEN[name]
    model = _build(name)
    state = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert state == expected["sd"]
    assert list(state) == list(expected["sd"])
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) == expected["params"]
    assert sum(p.numel() for p in parameters if p.requires_grad) == expected["trainable"]
    assert model.size_divisibility == expected.get("div", model.size_divisibility)


def test_what_was_not_recorded():
    assert {name for name, entry in GOLDEN.items() if "error" in entry} == NOT_RECORDED


@pytest.mark.parametrize("name", sorted(n for n in NOT_RECORDED if n.endswith(".yaml")))
def test_deformable_configs_build(name):
    keys = set(_build(name).state_dict())
    assert "backbone.bottom_up.res5.2.conv2_offset.weight" in keys
    assert "backbone.bottom_up.res5.2.conv2.norm.weight" in keys
    assert "backbone.bottom_up.res2.2.conv2_offset.weight" not in keys
