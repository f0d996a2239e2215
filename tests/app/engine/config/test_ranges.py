"""Every key and every kind of wrong value: refused by name, or harmless."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.engine.config import (
    CfgNode,
    check_supported,
    get_config,
    inspect_config,
    load_config,
    load_model_config,
)
from app.engine.config.backbone_names import combinations, has_neck
from app.engine.config.feature_maps import body_maps, pyramid_maps
from app.engine.config.ranges import RANGES
from app.engine.config.rules import NORMS
from app.engine.config.support import CHOICES
from app.engine.errors import ConfigError
from app.engine.layers.norm import NORMS as LAYERS
from app.engine.modeling.backbones import BODIES, build_backbone
from app.engine.modeling.build import META_ARCHITECTURES
from app.engine.modeling.necks import NECKS
from app.engine.structures.record import ImageRecord
from app.engine.training.request import TrainRequest
from app.engine.training.train import train

CONFIGS = Path(__file__).parents[4] / "configs"
LIGHT = CONFIGS / "Mobile/retinanet_mobilenetv2_FPN_light.yaml"
DEFAULTS = dict(get_config().leaves())


def test_every_key_has_a_rule_or_choices() -> None:
    told = {"MODEL.ANCHOR_GENERATOR.ANGLES"}  # must stay as it is
    assert RANGES.keys() | CHOICES.keys() | told == DEFAULTS.keys()
    assert not RANGES.keys() & CHOICES.keys()


def test_names_of_the_tables_are_those_of_the_network() -> None:
    assert set(NORMS) == {"", *LAYERS}
    assert set(CHOICES["MODEL.BACKBONE.NAME"]) == combinations(BODIES, NECKS).keys()
    assert set(CHOICES["MODEL.META_ARCHITECTURE"]) == META_ARCHITECTURES.keys()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        pytest.param(
            "MODEL.RETINANET.PRIOR_PROB", "0", "number above 0 and below 1", id="log of 0"
        ),
        pytest.param(
            "MODEL.RETINANET.PRIOR_PROB", "1", "number above 0 and below 1", id="log of 1"
        ),
        pytest.param("MODEL.FCOS.PRIOR_PROB", "2", "number above 0 and below 1", id="no share"),
        pytest.param(
            "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
            "[[0,1]]",
            "numbers from 0.001",
            id="flat anchor",
        ),
        pytest.param("MODEL.ANCHOR_GENERATOR.SIZES", "[[]]", "a list of", id="no anchors"),
        pytest.param("MODEL.ANCHOR_GENERATOR.OFFSET", "1", "0 and below 1", id="offset"),
        pytest.param("SOLVER.STEPS", "(None,)", "whole numbers from 0", id="None in a list"),
        pytest.param("SOLVER.STEPS", "(80,60)", "none smaller than the one before", id="falling"),
        pytest.param("MODEL.FPN.OUT_CHANNELS", "0", "whole number from 1", id="no channels"),
        pytest.param("MODEL.FPN.NORM", "Frozen", "one of '', BN, SyncBN", id="unknown norm"),
        pytest.param("SOLVER.ACCUMULATE", "0", "whole number from 1", id="no part of a batch"),
        pytest.param("INPUT.MIN_SIZE_TRAIN", "(-1,)", "whole numbers from 0", id="negative side"),
        pytest.param("INPUT.MAX_SIZE_TRAIN", "0", "whole number from 1", id="no pixels"),
        pytest.param("INPUT.MIN_SIZE_TRAIN", "()", "a list of whole", id="no sizes"),
        pytest.param("SOLVER.CLIP_GRADIENTS.NORM_TYPE", "-1", "number from 1, or inf", id="norm"),
        pytest.param("SOLVER.WEIGHT_DECAY", "-1", "number from 0 to", id="growth"),
        pytest.param("SOLVER.WEIGHT_DECAY", "1e999", "number from 0 to 1000000", id="infinite"),
        pytest.param("SOLVER.WEIGHT_DECAY", "nan", "number from 0 to 1000000", id="no number"),
        pytest.param(
            "SOLVER.WEIGHT_DECAY_BIAS", "-1", "0 to 1000000, or None", id="growing biases"
        ),
        pytest.param("SOLVER.MOMENTUM", "1", "from 0 and below 1", id="never forgets"),
        pytest.param("SOLVER.MOMENTUM", "9" * 400, "from 0 and below 1", id="400 digits"),
        pytest.param("MODEL.PIXEL_STD", "[0,0,0]", "numbers from 1e-06", id="division by 0"),
        pytest.param("MODEL.RETINANET.NMS_THRESH_TEST", "1.5", "from 0 to 1", id="IoU"),
        pytest.param("TEST.DETECTIONS_PER_IMAGE", "0", "whole number from 1", id="no detections"),
        pytest.param("TEST.DETECTIONS_PER_IMAGE", "-1", "whole number from 1", id="negative"),
        pytest.param("MODEL.RPN.BBOX_REG_WEIGHTS", "(1,1,1,0)", "4 numbers above 0", id="weight 0"),
        pytest.param("MODEL.RPN.BBOX_REG_WEIGHTS", "(1,1,1,1,1)", "rotated", id="five weights"),
        pytest.param("MODEL.RPN.IOU_THRESHOLDS", "[0.7,0.3]", "none smaller", id="thresholds"),
        pytest.param("MODEL.RPN.POSITIVE_FRACTION", "0", "above 0, up to 1", id="no positives"),
        pytest.param("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", "0", "from 1 to 128", id="pooler"),
        pytest.param("MODEL.RESNETS.DEFORM_ON_PER_STAGE", "[True]", "4 True or False", id="count"),
        pytest.param("INPUT.CROP.SIZE", "[0.5]", "a list of 2 numbers", id="one side"),
        pytest.param("DATASETS.TRAIN_REPEAT_FACTOR", "[['a']]", "name, number above 0", id="row"),
        pytest.param("DATASETS.ACCEPTED_SMELLS", "['crowd']", "names from xyxy-boxes", id="smell"),
        pytest.param("MODEL.DEVICE", "gpu", "cpu, cuda or cuda:N", id="device"),
        pytest.param("SEED", "1e30", "whole number from -4294967296 to 4294967295", id="seed"),
        pytest.param("SOLVER.GAMMA", "fast", "above 0, up to 1", id="a word for a number"),
        pytest.param("MODEL.MASK_ON", "maybe", "True or False", id="a word for a switch"),
    ],
)
def test_out_of_range(key: str, value: str, words: str) -> None:
    _, faults = inspect_config(LIGHT, [key, value], origin="args_options")
    assert [fault.key for fault in faults] == [key]
    assert str(faults[0]).startswith(f"args_options: {key} is ")
    assert "but must be " in faults[0].text
    assert words in faults[0].text


def test_all_faults_at_once_each_where_it_was_written(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"_BASE_: {LIGHT}\nSOLVER:\n  GAMMA: 0\n  NO_SUCH: 1\nVERSION: 2\n")
    cfg, faults = inspect_config(
        own, ["TEST.PATIENCE", "-1", "SOLVER.MOMENTUMM", "0.9"], origin="args_options"
    )
    assert {fault.key: fault.origin for fault in faults} == {
        "SOLVER.GAMMA": f"{own}, line 3",
        "SOLVER.NO_SUCH": f"{own}, line 4",
        "TEST.PATIENCE": "args_options",
        "SOLVER.MOMENTUMM": "args_options",
    }
    assert cfg.MODEL.META_ARCHITECTURE == "RetinaNet"


def test_a_disagreement_is_that_of_the_key_written_last() -> None:
    _, faults = inspect_config(LIGHT, ["MODEL.RETINANET.IOU_THRESHOLDS", "[0.5]"], origin="here")
    assert [(fault.key, fault.origin) for fault in faults] == [
        ("MODEL.RETINANET.IOU_THRESHOLDS", "here")
    ]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param(
            ["INPUT.CROP.ENABLED", "True", "INPUT.CROP.SIZE", "[2,1]"], "shares", id="crop"
        ),
        pytest.param(
            ["INPUT.CROP.ENABLED", "True", "INPUT.CROP.TYPE", "absolute_range"],
            r"\[smallest, largest\]",
            id="crop in pixels",
        ),
        pytest.param(["INPUT.LSJ.MIN_SCALE", "3"], "must not exceed INPUT.LSJ.MAX", id="jitter"),
        pytest.param(
            ["INPUT.COLOR_JITTER", "0.1", "INPUT.FORMAT", "YUV-BT.601"], "BGR or RGB", id="colours"
        ),
        pytest.param(
            ["INPUT.MIN_SIZE_TRAIN_SAMPLING", "range"], r"\[lowest, highest\]", id="range"
        ),
        pytest.param(
            ["SOLVER.NESTEROV", "True", "SOLVER.MOMENTUM", "0"], "raise it", id="Nesterov"
        ),
        pytest.param(
            ["MODEL.RETINANET.NORM", "GN", "MODEL.RETINANET.CONV_DIM", "40"],
            "multiple of 32",
            id="GN",
        ),
        pytest.param(["MODEL.RETINANET.IN_FEATURES", "['p2']"], "has p3, p4, p5, p6, p7", id="map"),
        pytest.param(["MODEL.FPN.IN_FEATURES", "['mb2','mb4']"], "the body gives", id="body's map"),
        pytest.param(["MODEL.FPN.IN_FEATURES", "['mb3','mb5']"], "twice the stride", id="a gap"),
        pytest.param(
            ["MODEL.FPN.TOP_BLOCK_IN_FEATURE", "p4"], "mb5 or p5", id="top of the pyramid"
        ),
        pytest.param(["MODEL.ANCHOR_GENERATOR.SIZES", "[[8],[16]]"], "2 lists for 5", id="anchors"),
        pytest.param(
            ["MODEL.ANCHOR_GENERATOR.SIZES", "[[8],[16],[32],[64],[128,256]]"],
            "share one head",
            id="another number of anchors",
        ),
        pytest.param(["TEST.METRIC", "bbox/AP5"], "choose bbox/AP, .* mean bbox/AP50", id="metric"),
        pytest.param(["TEST.METRIC", "AP50"], "did you mean bbox/AP50", id="metric without task"),
        pytest.param(["TEST.METRIC", "segm/AP"], "choose bbox/AP, bbox/AP50", id="no masks"),
    ],
)
def test_disagreements(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(LIGHT, overrides)


@pytest.mark.parametrize(
    ("name", "overrides", "keys"),
    [
        pytest.param(
            "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
            ["MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.NUM_GROUPS", "32"],
            ["MODEL.RESNETS.DEPTH", "MODEL.RESNETS.NUM_GROUPS"],
            id="wide, grouped basic blocks",
        ),
        pytest.param(
            "Mobile/retinanet_mobilenetv2_FPN_light.yaml",
            ["MODEL.RESNETS.DEPTH", "18"],
            [],
            id="a ResNet that is not used",
        ),
        pytest.param(
            "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml",
            [
                *("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False"),
                *("MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", "True"),
            ],
            [
                "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG",
                "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES",
            ],
            id="a cascade",
        ),
        pytest.param(
            "COCO-Detection/faster_rcnn_R_50_C4_1x.yaml",
            [
                *("MODEL.RESNETS.OUT_FEATURES", "['res3','res4']"),
                *("MODEL.ROI_HEADS.IN_FEATURES", "['res3','res4']"),
                *("MODEL.RESNETS.DEFORM_ON_PER_STAGE", "[False,True,True,True]"),
                *("MODEL.RESNETS.RES5_DILATION", "2"),
            ],
            [
                "MODEL.ROI_HEADS.IN_FEATURES",
                "MODEL.RESNETS.DEFORM_ON_PER_STAGE",
                "MODEL.RESNETS.RES5_DILATION",
            ],
            id="C4",
        ),
    ],
)
def test_keys_that_a_network_does_not_allow(
    name: str, overrides: list[str], keys: list[str]
) -> None:
    _, faults = inspect_config(CONFIGS / name, overrides, origin="here")
    assert [fault.key for fault in faults] == keys


def test_a_trained_model_is_not_judged_by_its_training(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    base = f"_BASE_: {LIGHT}\nVERSION: 2\n"
    file.write_text(f"{base}SOLVER: {{GAMMA: 0}}\nINPUT: {{MIN_SIZE_TRAIN: [-1]}}\n")
    assert load_model_config(file).SOLVER.GAMMA == 0
    file.write_text(f"{base}INPUT: {{MIN_SIZE_TEST: -1}}\n")
    with pytest.raises(ConfigError, match=r"line 3: INPUT\.MIN_SIZE_TEST"):
        load_model_config(file)


@pytest.mark.parametrize(
    ("metric", "class_names", "is_known"),
    [
        pytest.param("bbox/APs", ["cat", "dog"], True, id="by size"),
        pytest.param("bbox/AP-dog", ["cat", "dog"], True, id="of a class"),
        pytest.param("bbox/AP-cow", ["cat", "dog"], False, id="of another class"),
        pytest.param("bbox/AP-cat", ["cat"], False, id="one class has no number of its own"),
        pytest.param("bbox/APr", ["cat", "dog"], False, id="LVIS's, by COCO's rules"),
        pytest.param("bbox/APr", None, True, id="LVIS's"),
        pytest.param("bbox/AP-cow", None, True, id="classes are not known"),
    ],
)
def test_metrics_of_a_data_set(metric: str, class_names: list[str] | None, is_known: bool) -> None:
    _, faults = inspect_config(LIGHT, ["TEST.METRIC", metric], class_names=class_names)
    assert [fault.key for fault in faults] == ([] if is_known else ["TEST.METRIC"])


@pytest.mark.parametrize(
    "name",
    [
        "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
        "COCO-Detection/fcos_R_50_FPN_1x.yaml",
        "COCO-Detection/faster_rcnn_R_50_C4_1x.yaml",
        "COCO-Detection/faster_rcnn_R_50_DC5_1x.yaml",
        "EfficientNet/faster_rcnn_efficientnet_b4_FPN.yaml",
        "EfficientNet/retinanet_efficientnet_b4_FPN.yaml",
        "Mobile/mask_rcnn_mobilenetv2_FPN_light.yaml",
        "COCO-InstanceSegmentation/mask_rcnn_regnety_4gf_dds_fpn_1x.yaml",
    ],
)
def test_feature_maps_are_those_of_the_network(name: str) -> None:
    cfg = load_config(CONFIGS / name)
    leaves = dict(cfg.leaves())
    maps = body_maps(leaves)
    maps = pyramid_maps(leaves, maps) if has_neck(leaves["MODEL.BACKBONE.NAME"]) else maps
    with torch.device("meta"):
        built = build_backbone(cfg).output_shape()
    assert maps == {name: shape.stride for name, shape in built.items()}


NASTY = (
    *("0", "-1", "1", "0.5", "1e999", "nan", "1000000000", "''", "None", "nonsense", "True"),
    *("[]", "[0]", "[-1]", "[0.5, 0.4]", "[[0]]", "[None]", "['a']", "[nan]"),
)


@pytest.mark.parametrize("section", sorted({key.rpartition(".")[0] for key in DEFAULTS}))
def test_every_key_takes_or_refuses_every_value(section: str) -> None:
    """Nothing but ConfigError comes of a value, and the error names the key."""
    cfg = load_config(LIGHT)
    keys = [key for key in DEFAULTS if key.rpartition(".")[0] == section]
    for key in keys:
        before = dict(cfg.leaves())[key]
        for value in NASTY:
            assert key in _refusal(cfg, key, value), value
            _put(cfg, key, before)


def _refusal(cfg: CfgNode, key: str, value: str) -> str:
    """Why a value is refused; the key where it is not."""
    try:
        cfg.merge_from_list([key, value])
        check_supported(cfg)
    except ConfigError as error:
        return str(error)
    return key


def _put(cfg: CfgNode, key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    for name in sections:
        cfg = cfg[name]
    cfg[leaf] = value


RUN = {
    "MODEL.DEVICE": "cpu",
    "MODEL.RETINANET.NUM_CLASSES": "2",
    "INPUT.MIN_SIZE_TRAIN": "(32,)",
    "INPUT.MIN_SIZE_TEST": "32",
    "SOLVER.IMS_PER_BATCH": "1",
    "SOLVER.MAX_ITER": "1",
    "SEED": "1",
}


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(
            {
                "MODEL.RETINANET.PRIOR_PROB": "1e-9",
                "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": "[0.001, 1000]",
                "SOLVER.GAMMA": "1",
                "SOLVER.STEPS": "()",
                "SOLVER.CLIP_GRADIENTS.ENABLED": "True",
                "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "norm",
                "SOLVER.CLIP_GRADIENTS.NORM_TYPE": "inf",
                "SOLVER.OPTIMIZER": "ADAMW",
                "SOLVER.EMA.ENABLED": "True",
                "SOLVER.EMA.DECAY": "0",
                "SOLVER.WEIGHT_DECAY": "1",
            },
            id="anchors and solver",
        ),
        pytest.param(
            {
                "MODEL.FPN.OUT_CHANNELS": "1",
                "MODEL.RETINANET.NUM_CONVS": "0",
                "MODEL.RETINANET.TOPK_CANDIDATES_TEST": "1",
                "MODEL.RETINANET.NMS_THRESH_TEST": "0",
                "TEST.DETECTIONS_PER_IMAGE": "1",
                "INPUT.MIN_SIZE_TRAIN": "(1,)",
                "INPUT.MAX_SIZE_TRAIN": "1",
                "INPUT.MIN_SIZE_TEST": "1",
            },
            id="as small as can be",
        ),
        pytest.param(
            {
                "MODEL.RETINANET.TOPK_CANDIDATES_TEST": "1000000",
                "MODEL.RETINANET.NMS_THRESH_TEST": "1",
                "MODEL.RETINANET.SCORE_THRESH_TEST": "1",
                "MODEL.RETINANET.IOU_THRESHOLDS": "[0, 1]",
                "TEST.DETECTIONS_PER_IMAGE": "1000000",
                "SOLVER.ACCUMULATE": "1000000",
                "SOLVER.MOMENTUM": "0",
                "INPUT.CROP.ENABLED": "True",
                "INPUT.CROP.SIZE": "[0.001, 1]",
                "INPUT.COLOR_JITTER": "1",
                "INPUT.LSJ.ENABLED": "True",
                "INPUT.LSJ.SIZE": "[33, 40]",
                "INPUT.LSJ.MIN_SCALE": "0.001",
            },
            id="more than there is",
        ),
        pytest.param(
            {
                "INPUT.MIN_SIZE_TRAIN": "(0,)",
                "INPUT.MIN_SIZE_TEST": "0",
                "INPUT.MAX_SIZE_TRAIN": "1000000000",
                "INPUT.MAX_SIZE_TEST": "1000000000",
            },
            id="images as they are",
        ),
    ],
)
def test_values_at_the_ends_of_their_ranges_run(tmp_path: Path, overrides: dict[str, str]) -> None:
    """One training step and one evaluation of the smallest model."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    box = np.array([[5, 5, 30, 30]], np.float32)
    record = ImageRecord(tmp_path / "image.png", 40, 48, box, np.array([1]), 1)
    settings = RUN | overrides | {"OUTPUT_DIR": str(tmp_path / "out"), "MODEL.WEIGHTS": "''"}
    request = TrainRequest(
        load_config(LIGHT, [part for pair in settings.items() for part in pair]),
        [record],
        ["a", "b"],
        tmp_path / "out",
        val_records=[record],
        num_workers=0,
    )
    summary = train(request)
    assert summary.iteration == 1
