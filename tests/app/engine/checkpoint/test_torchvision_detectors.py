"""Files of torchvision's detectors: recognised by their names, brought into the engine's form."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models.detection as tv
from torch import Tensor
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from app.engine.checkpoint import torchvision_detectors as detectors
from app.engine.checkpoint.layout import find_state
from app.engine.checkpoint.torchvision_detectors import (
    KINDS,
    kind_of,
    known_names,
    require_config,
)
from app.engine.config import load_config
from app.engine.errors import CheckpointError
from app.engine.modeling.build import build_detector
from verification import REPOSITORY

FILE = Path("m.pth")
NAMES = [
    name.removeprefix("torchvision/")
    for kind in KINDS
    for name in kind.configs
    if not name.startswith("SSD/")
]
State = dict[str, Tensor]


@cache
def weights_of(name: str) -> State:
    """The names and shapes of torchvision's weights."""
    with torch.device("meta"):
        model = getattr(tv, name)(weights=None, weights_backbone=None)
    return dict(model.state_dict())


@cache
def model_of(config: str, *overrides: str) -> State:
    """The names and shapes of this engine's weights."""
    path = REPOSITORY / f"configs/{config}.yaml"
    cfg = load_config(path, ["MODEL.DEVICE", "meta", *overrides])
    with torch.device("meta"):
        return dict(build_detector(cfg).state_dict())


def shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def without_counters(of: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in of.items() if not name.endswith("num_batches_tracked")}


def of_version_1(state: State) -> State:
    """The names that the published files of the first detectors have."""
    old: tuple[tuple[str, Callable[[re.Match[str]], str] | str], ...] = (
        (r"((?:inner|layer)_blocks\.\d+)\.0\.", r"\1."),
        (r"rpn\.head\.conv\.0\.0\.", "rpn.head.conv."),
        (r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}."),
        (r"(\w+_head)\.conv\.(\d)\.0\.", lambda m: f"{m[1]}.conv.{2 * int(m[2])}."),
    )
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in old:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


WRAPPED: list[Callable[[State], dict[str, Any]]] = [
    lambda state: state,
    lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    lambda state: {"model": state, "optimizer": {"state": {}}, "epoch": 3, "args": {}},
    lambda state: {"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
]


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_has_its_place_in_the_config_of_its_name(name: str):
    state, expected = weights_of(name), model_of(f"torchvision/{name}")
    for wrap in WRAPPED:
        found = find_state(wrap(state), FILE, is_pickle=False)
        kind = kind_of(found.weights, FILE)
        assert kind is not None
        assert f"torchvision/{name}" in kind.configs

    converted = kind.convert(state)

    assert without_counters(shapes(converted)) == without_counters(shapes(expected))
    require_config(FILE, kind, converted, shapes(expected), convention="torchvision")
    names = known_names(converted)["class_names"]
    assert len(names) == len(set(names)) == (1 if "keypoint" in name else 90)
    assert names[0] == "person"


@pytest.mark.parametrize(
    "name", [name for name in NAMES if "v2" not in name and "mobilenet" not in name]
)
def test_names_of_the_first_published_files(name: str):
    state = weights_of(name)
    old = of_version_1(state) if "fcos" not in name else state
    kind = kind_of(old, FILE)
    assert kind is not None
    assert kind == kind_of(state, FILE)
    assert set(kind.convert(old)) == set(kind.convert(state))
    assert old.keys() != state.keys() or "fcos" in name


@pytest.mark.parametrize(
    ("name", "config", "overrides"),
    [
        pytest.param("ssd300_vgg16", "SSD/ssd_vgg16_300", (), id="SSD300"),
        pytest.param(
            "ssdlite320_mobilenet_v3_large",
            "SSD/ssdlite_mobilenetv3_320",
            ("MODEL.MOBILENETV3.REDUCED_TAIL", "True"),
            id="SSDLite",
        ),
    ],
)
def test_ssd(name: str, config: str, overrides: tuple[str, ...]):
    state = weights_of(name)
    kind = kind_of(state, FILE)
    assert kind is not None
    assert kind.configs == (config,)
    converted = kind.convert(state)
    expected = shapes(model_of(config, "MODEL.SSD.NUM_CLASSES", "90", *overrides))
    require_config(FILE, kind, converted, expected, convention="")
    assert len(known_names(converted)["class_names"]) == 90


def test_classes_in_the_engines_order():
    pyramid = {"backbone.fpn.inner_blocks.0.0.weight": torch.zeros(1)}
    predictor, mask = "roi_heads.box_predictor", "roi_heads.mask_predictor.mask_fcn_logits"
    found = detectors._two_stages(
        pyramid
        | {
            f"{predictor}.cls_score.bias": torch.arange(3),
            f"{predictor}.bbox_pred.bias": torch.arange(12),
            f"{mask}.bias": torch.arange(3),
        }
    )
    assert found[f"{predictor}.cls_score.bias"].tolist() == [1, 2, 0]
    assert found[f"{predictor}.bbox_pred.bias"].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    assert found["roi_heads.mask_head.predictor.bias"].tolist() == [1, 2]
    assert known_names(found) == {}  # of other classes than COCO's

    head, boxes = "head.classification_head.cls_logits", "head.regression_head.bbox_reg"
    found = detectors._one_stage(
        pyramid
        | {
            f"{head}.weight": torch.arange(6)[:, None],
            f"{head}.bias": torch.arange(6),  # two anchors, three classes
            f"{boxes}.bias": torch.arange(8),
        }
    )
    assert found["head.cls_score.bias"].tolist() == [1, 2, 4, 5]
    assert found["head.cls_score.weight"].flatten().tolist() == [1, 2, 4, 5]
    assert found["head.bbox_pred.bias"].tolist() == list(range(8))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(
            ["backbone.bottom_up.stem.conv1.weight", "rpn.head.conv.weight"],
            r"mixture: rpn\.head\.conv\.weight .* backbone\.bottom_up\.stem\.conv1\.weight",
            id="half of each",
        ),
        pytest.param(
            ["backbone.body.stem.conv1.weight", "rpn.head.conv.weight"],
            "looks like a model of maskrcnn-benchmark",
            id="maskrcnn-benchmark",
        ),
        pytest.param(
            ["backbone.0.0.weight", "rpn.head.conv.0.0.weight", "roi_heads.box_head.fc6.weight"],
            r"torchvision's Faster R-CNN on a body of one's own.*\(backbone\.0\.0\.weight\)",
            id="another body",
        ),
    ],
)
def test_unknown_mixtures_are_refused_in_one_sentence(names: list[str], message: str):
    with pytest.raises(CheckpointError, match=message):
        kind_of(names, FILE)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(model_of("COCO-Detection/faster_rcnn_R_50_FPN_1x"), id="detectron2"),
        pytest.param(model_of("COCO-Detection/retinanet_R_50_FPN_1x"), id="RetinaNet"),
        pytest.param(["layer1.0.conv1.weight", "fc.weight"], id="a classifier of torchvision"),
    ],
)
def test_other_files_are_not_taken_for_torchvisions_detectors(names: Any):
    assert kind_of(names, FILE) is None


FASTER = "fasterrcnn_resnet50_fpn"


@pytest.mark.parametrize(
    ("config", "convention", "message"),
    [
        pytest.param(
            "COCO-Detection/faster_rcnn_R_50_FPN_1x",
            "detectron2",
            rf"anchors are not torchvision's\); choose configs/torchvision/{FASTER}\.yaml$",
            id="detectron2's config, with the same layers",
        ),
        pytest.param(
            "torchvision/fasterrcnn_resnet50_fpn_v2",
            "torchvision",
            rf"it has no backbone\.fpn_lateral2\.bias\); choose configs/torchvision/{FASTER}\.yaml",
            id="another version",
        ),
    ],
)
def test_the_right_config_is_named(config: str, convention: str, message: str):
    state = weights_of(FASTER)
    kind = kind_of(state, FILE)
    assert kind is not None
    with pytest.raises(CheckpointError, match=message):
        require_config(
            FILE, kind, kind.convert(state), shapes(model_of(config)), convention=convention
        )


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ("resnet101", "with MODEL.RESNETS.DEPTH 101$"),
        ("resnet18", "with MODEL.RESNETS.DEPTH 18, MODEL.RESNETS.RES2_OUT_CHANNELS 64$"),
    ],
)
def test_a_resnet_of_another_depth_is_named(body: str, options: str):
    with torch.device("meta"):
        model = tv.FasterRCNN(resnet_fpn_backbone(backbone_name=body, weights=None), 91)
    state = dict(model.state_dict())
    kind = kind_of(state, FILE)
    assert kind is not None
    expected = shapes(model_of(f"torchvision/{FASTER}"))
    with pytest.raises(CheckpointError, match=options):
        require_config(FILE, kind, kind.convert(state), expected, convention="torchvision")


def test_a_mask_head_may_be_added():
    state = weights_of(FASTER)
    kind = kind_of(state, FILE)
    assert kind is not None
    expected = shapes(model_of("torchvision/maskrcnn_resnet50_fpn"))
    require_config(FILE, kind, kind.convert(state), expected, convention="torchvision")
